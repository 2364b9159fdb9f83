import type { KafkaJS } from '@confluentinc/kafka-javascript'
import { confluentClient } from '@malote/adapter-kafka/confluent'
import { kafkajsClient } from '@malote/adapter-kafka/kafkajs'
import { platformaticClient } from '@malote/adapter-kafka/platformatic'
import type { Consumer, DeliveryHandler, Publisher } from '@malote/outbox-core'
import { eventually } from '@malote/outbox-core/testing'
import { Kafka } from 'kafkajs'
import { createRequire } from 'node:module'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createKafkaConsumer, createKafkaPublisher, type KafkaClient } from '../src/index.ts'
import { aMessage, connectKafka, type KafkaBroker } from './kafka-broker.ts'

const brokers = inject('kafkaBrokers')

describe.skipIf(brokers === '')('the code of the README', () => {
  let broker: KafkaBroker

  beforeAll(async () => {
    broker = await connectKafka(brokers.split(','))
  })
  afterAll(() => broker.close())

  const addon = process.env['MALOTE_TEST_CONFLUENT'] ?? ''
  const clients: Readonly<Record<string, (brokers: string[]) => KafkaClient>> = {
    kafkajs: byKafkajs,
    platformatic: byPlatformatic,
    // The judge of Kafka's clients builds its addon.
    ...(addon === '' ? {} : { confluent: (to: string[]) => byConfluent(confluentAt(addon), to) }),
  }

  it.each(Object.entries(clients))('carries a message from publisher to consumer by %s', async (_, connect) => {
    const client = connect(brokers.split(','))
    const orders = await broker.topic()
    await broker.topic({ name: `${orders}.dead` })
    const handled: string[] = []
    const handler: DeliveryHandler = ({ message }) => Promise.resolve(void handled.push(message.id))
    const message = aMessage({ topic: orders, orderingKey: 'order-1' })

    const publisher = ordersPublisher(client)
    await publisher.publish([message], new AbortController().signal)
    const consumer = await startConsumer(client, orders, handler)

    await eventually(() => expect(handled).toEqual([message.id]))
    await consumer.stop()
    await publisher.close()
  })
})

// #region kafkajs
function byKafkajs(brokers: string[]): KafkaClient {
  return kafkajsClient(new Kafka({ clientId: 'orders', brokers }))
}
// #endregion

// #region platformatic
function byPlatformatic(brokers: string[]): KafkaClient {
  return platformaticClient({ clientId: 'orders', bootstrapBrokers: brokers })
}
// #endregion

function confluentAt(folder: string): typeof KafkaJS {
  const { KafkaJS: library } = createRequire(import.meta.url)(folder) as { readonly KafkaJS: typeof KafkaJS }
  return library
}

// #region confluent
/** `library` is `KafkaJS` of `@confluentinc/kafka-javascript`. */
function byConfluent(library: typeof KafkaJS, brokers: string[]): KafkaClient {
  return confluentClient(new library.Kafka({ kafkaJS: { clientId: 'orders', brokers } }))
}
// #endregion

// #region publisher
/** Hand it to `createRelay({ pool, publisher })`. */
function ordersPublisher(client: KafkaClient): Publisher {
  return createKafkaPublisher({ producer: client.producer, source: '/brokerage/orders' })
}
// #endregion

// #region consumer
/** `handler` makes its effect once, by an inbox. `stop()` the consumer on SIGTERM. */
async function startConsumer(client: KafkaClient, topic: string, handler: DeliveryHandler): Promise<Consumer> {
  const consumer = createKafkaConsumer({
    consumer: client.consumer({ groupId: `balances-of-${topic}` }),
    producer: client.producer, // for dead letters
    topics: [topic],
    handler,
  })
  await consumer.start()
  return consumer
}
// #endregion
