/**
 * kafkajs as a client for publisher and consumer.
 *
 * @packageDocumentation
 */
import type { KafkaClient, KafkaConsumer, KafkaOffsetsAdmin, KafkaProducer } from '../client.ts'
import { consumerDefaults, producerDefaults } from '../options.ts'
import { timesOf } from './group.ts'
import { createOffsetsAdmin } from './offsets-admin.ts'

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
  return {
    producer: () => kafka.producer(producerDefaults),
    consumer: (group) => kafka.consumer({ ...consumerDefaults, groupId: group.groupId, ...timesOf(group) }),
    admin: createOffsetsAdmin(kafka),
  }
}
