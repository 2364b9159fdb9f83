import { kafkajsClient } from '@malote/adapter-kafka/kafkajs'
import { platformaticClient } from '@malote/adapter-kafka/platformatic'
import type { Consumer, DeliveryHandler, Publisher } from '@malote/outbox-core'
import { eventually } from '@malote/outbox-core/testing'
import { Kafka, logLevel } from 'kafkajs'
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

  it.each(['kafkajs', 'platformatic'] as const)('carries a message from publisher to consumer by %s', async (name) => {
    const clients = { kafkajs: byKafkajs, platformatic: byPlatformatic }
    const client = clients[name](brokers.split(','))
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
  return kafkajsClient(new Kafka({ clientId: 'orders', brokers, logLevel: logLevel.NOTHING }))
}
// #endregion

// #region platformatic
function byPlatformatic(brokers: string[]): KafkaClient {
  return platformaticClient({ clientId: 'orders', bootstrapBrokers: brokers })
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
