/**
 * kafkajs as a client for publisher and consumer.
 *
 * @packageDocumentation
 */
import type { KafkaClient, KafkaConsumer, KafkaOffsetsAdmin, KafkaProducer } from '../client.ts'
import { consumerDefaults, producerDefaults } from '../options.ts'

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
    consumer: ({ groupId, sessionTimeoutMs = 30_000, rebalanceTimeoutMs = 60_000 }) =>
      kafka.consumer({
        ...consumerDefaults,
        groupId,
        sessionTimeout: sessionTimeoutMs,
        rebalanceTimeout: rebalanceTimeoutMs,
        heartbeatInterval: Math.min(3_000, sessionTimeoutMs / 5),
      }),
    admin: {
      fetchTopicOffsets: (topic) => asking((admin) => admin.fetchTopicOffsets(topic)),
      fetchOffsets: (options) => asking((admin) => admin.fetchOffsets(options)),
    },
  }
}
