import { spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type AclOperationTypes,
  type AclPermissionTypes,
  type AclResourceTypes,
  type Admin,
  type ISocketFactory,
  Kafka,
  logLevel,
  type ResourcePatternTypes,
} from 'kafkajs'
import {
  consumerDefaults,
  createKafkaConsumer,
  createKafkaPublisher,
  producerDefaults,
} from '../../../packages/adapter-kafka/src/index.ts'
import { type KafkaService, startKafka } from '../../services/kafka.ts'
import { createKafkaTopics } from '../../services/kafka-topics.ts'
import { scaled } from '../../slowness.ts'
import { nowMs } from '../journal.ts'
import type { BrokerKind, BrokerSettings } from './broker.ts'
import { refuseNowAndThen } from './now-and-then.ts'

const topic = 'chaos'
const deadLetterTopic = 'chaos.dead'
const groupId = 'chaos'

const client = ({ address }: BrokerSettings): Kafka =>
  new Kafka({
    brokers: [address],
    socketFactory: alwaysTo(address),
    logLevel: logLevel.NOTHING,
    connectionTimeout: 2_000,
    requestTimeout: 5_000,
    retry: { initialRetryTime: 100, retries: 3 },
  })

/** Kafka tells its clients its own address; they go by way of the proxy all the same. There is one broker. */
function alwaysTo(address: string): ISocketFactory {
  const { hostname, port } = new URL(`tcp://${address}`)
  return ({ onConnect }) => connect({ host: hostname, port: Number(port), keepAlive: true }, onConnect)
}

/**
 * Whoever writes into the topic is refused (code 29) until the returned function is called; reading goes on. Fewer replicas than
 * `min.insync.replicas` would not do: Kafka asks for no more than the topic has.
 */
async function forbidWriting(admin: Admin, name: string): Promise<() => Promise<void>> {
  // oxlint-disable typescript/no-unsafe-enum-assignment -- the enums are values that ES modules cannot import by name
  const topicResource = 2 as AclResourceTypes
  const literal = 3 as ResourcePatternTypes
  const resource = { resourceType: topicResource, resourceName: name, resourcePatternType: literal }
  const everybody = { ...resource, principal: 'User:ANONYMOUS', host: '*' }
  // A topic that is named in any rule is closed but for what rules allow.
  const allowAll = { ...everybody, operation: 2 as AclOperationTypes, permissionType: 3 as AclPermissionTypes }
  const denyWrite = { ...everybody, operation: 4 as AclOperationTypes, permissionType: 2 as AclPermissionTypes }
  // oxlint-enable typescript/no-unsafe-enum-assignment
  await admin.createAcls({ acl: [allowAll, denyWrite] })
  return async () => void (await admin.deleteAcls({ filters: [denyWrite, allowAll] }))
}

async function forbiddenFor(admin: Admin, name: string, forMs: number): Promise<void> {
  const allow = await forbidWriting(admin, name)
  await sleep(forMs)
  await allow()
}

/** How long a broker may take to notice that it cannot write. It writes all the time. */
const noticedMs = 20_000

/**
 * No file of the broker can grow any more. A broker that cannot write to its only folder ends itself; it is started again when there is room.
 *
 * @returns whether it ended by itself
 */
async function fillDisk(server: KafkaService, forMs: number): Promise<boolean> {
  const { pid } = server
  if (pid === null) return false
  const limited = spawnSync('prlimit', ['--pid', String(pid), '--fsize=1:'])
  if (limited.status !== 0) return false // It is being restarted.
  const deadlineMs = nowMs() + scaled(noticedMs)
  while (isAlive(pid) && nowMs() < deadlineMs) await sleep(50)
  const hasEnded = !isAlive(pid)
  await sleep(forMs)
  await server.stop('kill')
  await server.start()
  return hasEnded
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Six partitions, shared out among the consumer processes. */
export const kafka: BrokerKind = {
  start: async () => {
    const server = await startKafka({ exclusive: true })
    const [address = ''] = server.brokers
    const settings: BrokerSettings = { kind: 'kafka', address }
    const kafka = client(settings)
    const admin = kafka.admin()
    await admin.connect()
    const topics = [
      { topic, numPartitions: 6 },
      { topic: deadLetterTopic, numPartitions: 1 },
    ]
    await createKafkaTopics(kafka, topics)
    return {
      settings,
      port: Number(new URL(`tcp://${address}`).port),
      through: (port, host = '127.0.0.1') => ({ kind: 'kafka', address: `${host}:${String(port)}` }),
      restart: async (downMs) => {
        await server.stop('kill')
        await sleep(downMs)
        await server.start()
      },
      trouble: (how, forMs) =>
        how === 'away' ? forbiddenFor(admin, topic, forMs) : refuseNowAndThen(forMs, () => forbidWriting(admin, topic)),
      refuseDeadLetters: (forMs) => forbiddenFor(admin, deadLetterTopic, forMs),
      fillDisk: (forMs) => fillDisk(server, forMs),
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
