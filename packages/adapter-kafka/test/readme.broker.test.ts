import type { Consumer, DeliveryHandler, Publisher } from '@malote/outbox-core'
import { eventually } from '@malote/outbox-core/testing'
import type { Kafka } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { consumerDefaults, createKafkaConsumer, createKafkaPublisher, producerDefaults } from '../src/index.ts'
import { aMessage, connectKafka, type KafkaBroker } from './kafka-broker.ts'

const brokers = inject('kafkaBrokers')

describe.skipIf(brokers === '')('the code of the README', () => {
  let broker: KafkaBroker

  beforeAll(async () => {
    broker = await connectKafka(brokers.split(','))
  })
  afterAll(() => broker.close())

  it('carries a message from the publisher to the consumer', async () => {
    const { kafka } = broker
    const orders = await broker.topic()
    await broker.topic({ name: `${orders}.dead` })
    const handled: string[] = []
    const handler: DeliveryHandler = ({ message }) => Promise.resolve(void handled.push(message.id))
    const message = aMessage({ topic: orders, orderingKey: 'order-1' })

    const publisher = ordersPublisher(kafka)
    await publisher.publish([message], new AbortController().signal)
    const consumer = await startConsumer(kafka, orders, handler)

    await eventually(() => expect(handled).toEqual([message.id]))
    await consumer.stop()
    await publisher.close()
  })
})

// #region publisher
/** Hand it to `createRelay({ pool, publisher })`. `kafka` is `new Kafka({ brokers })`. */
function ordersPublisher(kafka: Kafka): Publisher {
  return createKafkaPublisher({
    producer: () => kafka.producer(producerDefaults),
    source: '/brokerage/orders',
  })
}
// #endregion

// #region consumer
/** `handler` makes its effect once, by an inbox. `stop()` the consumer on SIGTERM. */
async function startConsumer(kafka: Kafka, topic: string, handler: DeliveryHandler): Promise<Consumer> {
  const consumer = createKafkaConsumer({
    consumer: kafka.consumer({ ...consumerDefaults, groupId: `balances-of-${topic}` }),
    topics: [topic],
    producer: () => kafka.producer(producerDefaults), // for dead letters
    handler,
  })
  await consumer.start()
  return consumer
}
// #endregion
