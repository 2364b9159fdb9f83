/**
 * Kafka for the Malote outbox: a publisher for the relay and a consumer for the other side.
 *
 * @packageDocumentation
 */
export { createKafkaPublisher } from './publisher.ts'
export { producerDefaults } from './options.ts'
export type { KafkaPublisherOptions } from './options.ts'
export type { KafkaProducer, KafkaRecord } from './client.ts'
