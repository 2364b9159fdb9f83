/**
 * kafkajs as a client for publisher and consumer.
 *
 * @packageDocumentation
 */
import type { KafkaClient, KafkaConsumer, KafkaOffsetsAdmin, KafkaProducer } from '../client.ts'
import { consumerDefaults, producerDefaults } from '../options.ts'
import { timesOf } from './group.ts'

export type { KafkaClient, KafkaConsumer, KafkaGroup, KafkaOffsetsAdmin, KafkaProducer } from '../client.ts'

/** The part of `new Kafka(…)` of kafkajs that is used. */
export interface KafkajsKafka {
  producer(settings: typeof producerDefaults): KafkaProducer
  consumer(settings: {
    groupId: string
    sessionTimeout: number
    rebalanceTimeout: number
    heartbeatInterval: number
    maxWaitTimeInMs: number
  }): KafkaConsumer
  admin(): KafkaOffsetsAdmin & { connect(): Promise<void>; disconnect(): Promise<void> }
}

/**
 * Makes producers and consumers of kafkajs.
 *
 * @param kafka - `new Kafka({ clientId, brokers })` of kafkajs
 */
export function kafkajsClient(kafka: KafkajsKafka): KafkaClient {
  async function asking<Answer>(ask: (admin: KafkaOffsetsAdmin) => Promise<Answer>): Promise<Answer> {
    const admin = kafka.admin()
    await admin.connect()
    try {
      return await ask(admin)
    } finally {
      await admin.disconnect()
    }
  }

  return {
    producer: () => kafka.producer(producerDefaults),
    consumer: (group) => kafka.consumer({ ...consumerDefaults, groupId: group.groupId, ...timesOf(group) }),
    admin: {
      fetchTopicOffsets: (topic) => asking((admin) => admin.fetchTopicOffsets(topic)),
      fetchOffsets: (options) => asking((admin) => admin.fetchOffsets(options)),
    },
  }
}
