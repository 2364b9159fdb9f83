/**
 * Kafka for the Malote outbox: a publisher for the relay and a consumer for the other side.
 *
 * @packageDocumentation
 */
export { createKafkaPublisher } from './publisher.ts'
export { createKafkaConsumer } from './consumer.ts'
export { consumerDefaults, producerDefaults } from './options.ts'
export type { KafkaConsumerOptions, KafkaDelivery, KafkaPublisherOptions, StoredOffsets } from './options.ts'
export type {
  FetchedBatch,
  FetchedRecord,
  KafkaClient,
  KafkaConsumer,
  KafkaGroup,
  KafkaOffsetsAdmin,
  KafkaProducer,
  KafkaRecord,
  TopicPartition,
} from './client.ts'
export { redriveDeadLetters } from './redrive.ts'
export type { KafkaRedriveOptions } from './redrive.ts'
export type { RedriveReport } from '@malote/outbox-core/adapter'
