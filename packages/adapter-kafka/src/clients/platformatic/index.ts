/**
 * `@platformatic/kafka` as a client for publisher and consumer.
 *
 * @packageDocumentation
 */
import { systemClock } from '@malote/outbox-core/adapter'
import type { KafkaClient } from '../../client.ts'
import { createAdmin } from './admin.ts'
import { createConsumer } from './consumer.ts'
import { createProducer } from './producer.ts'
import type { PlatformaticConnection } from './settings.ts'

export type { KafkaClient, KafkaConsumer, KafkaGroup, KafkaOffsetsAdmin, KafkaProducer } from '../../client.ts'
export type { PlatformaticConnection } from './settings.ts'

/**
 * Makes producers and consumers of `@platformatic/kafka`. They put a key into the same partition as those of the other clients, so that a
 * move from one to the other keeps each key's order.
 *
 * @param connection - where Kafka is and how to speak to it: `{ clientId, bootstrapBrokers }` at least
 */
export function platformaticClient(connection: PlatformaticConnection): KafkaClient {
  return {
    producer: () => createProducer(connection, systemClock),
    consumer: (group) => createConsumer(connection, group, systemClock),
    admin: createAdmin(connection),
  }
}
