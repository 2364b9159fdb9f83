import { setTimeout as sleep } from 'node:timers/promises'
import { type Admin, type ConfigResourceTypes, Kafka, logLevel } from 'kafkajs'
import {
  consumerDefaults,
  createKafkaConsumer,
  createKafkaPublisher,
  producerDefaults,
} from '../../../packages/adapter-kafka/src/index.ts'
import { startKafka } from '../../services/kafka.ts'
import { createKafkaTopics } from '../../services/kafka-topics.ts'
import type { BrokerKind, BrokerSettings } from './broker.ts'

const topic = 'chaos'
const deadLetterTopic = 'chaos.dead'
const groupId = 'chaos'

const client = ({ address }: BrokerSettings): Kafka =>
  new Kafka({
    brokers: address.split(','),
    logLevel: logLevel.NOTHING,
    connectionTimeout: 2_000,
    requestTimeout: 5_000,
    retry: { initialRetryTime: 100, retries: 3 },
  })

// oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- the enum is a value that ES modules cannot import by name
const topicResource = 2 as ConfigResourceTypes // TOPIC

const askForReplicas = (admin: Admin, count: number, name: string = topic): Promise<unknown> =>
  admin.alterConfigs({
    validateOnly: false,
    resources: [
      {
        type: topicResource,
        name,
        configEntries: [{ name: 'min.insync.replicas', value: String(count) }],
      },
    ],
  })

/** Six partitions, shared out among the consumer processes. No proxy: Kafka tells its clients the broker's own address. */
export const kafka: BrokerKind = {
  start: async () => {
    const server = await startKafka({ exclusive: true })
    const settings: BrokerSettings = { kind: 'kafka', address: server.brokers.join(',') }
    const admin = client(settings).admin()
    await admin.connect()
    const topics = [
      { topic, numPartitions: 6 },
      { topic: deadLetterTopic, numPartitions: 1 },
    ]
    await createKafkaTopics(admin, topics)
    return {
      settings,
      port: null,
      through: () => settings,
      restart: async (downMs) => {
        await server.stop('kill')
        await sleep(downMs)
        await server.start()
      },
      // One replica is all there is: whoever asks for two is told there are too few (code 19).
      trouble: async (how, forMs) => {
        const flickers = how === 'throttled' ? Math.max(1, Math.round(forMs / 400)) : 1
        for (let flicker = 0; flicker < flickers; flicker++) {
          await askForReplicas(admin, 2)
          await sleep(forMs / flickers / 2)
          if (how === 'away') await sleep(forMs / 2)
          await askForReplicas(admin, 1)
          if (how === 'throttled') await sleep(forMs / flickers / 2)
        }
      },
      refuseDeadLetters: async (forMs) => {
        await askForReplicas(admin, 2, deadLetterTopic)
        await sleep(forMs)
        await askForReplicas(admin, 1, deadLetterTopic)
      },
      deadLetters: async () => {
        const ends = await admin.fetchTopicOffsets(deadLetterTopic)
        return ends.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0)
      },
      unacknowledged: async () => {
        const ends = await admin.fetchTopicOffsets(topic)
        const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] })
        const done = new Map(committed?.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
        return ends.reduce((sum, { partition, low, high }) => {
          return sum + Number(high) - Math.max(Number(low), done.get(partition) ?? 0)
        }, 0)
      },
      close: async () => {
        await admin.disconnect()
        await server.dispose()
      },
    }
  },
  publisher: (settings) => {
    const kafka = client(settings)
    return createKafkaPublisher({ producer: () => kafka.producer(producerDefaults), source: '/chaos' })
  },
  consumer: (settings, options) => {
    const kafka = client(settings)
    return createKafkaConsumer({
      ...options,
      consumer: kafka.consumer({
        ...consumerDefaults,
        groupId,
        sessionTimeout: 6_000,
        heartbeatInterval: 1_000,
      }),
      producer: () => kafka.producer(producerDefaults),
      topics: [topic],
      concurrency: 10,
    })
  },
}
