import type { Consumer, Publisher, ReceivedMessage } from '@malote/outbox-core'
import { eventually } from '@malote/outbox-core/testing'
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
    const applyOnce = (message: ReceivedMessage): Promise<void> => Promise.resolve(void handled.push(message.id))
    const message = aMessage({ topic: orders, orderingKey: 'order-1' })

    const publisher = aPublisher(kafka)
    await publisher.publish([message], new AbortController().signal)
    const consumer = await aStartedConsumer(kafka, orders, applyOnce)

    await eventually(() => expect(handled).toEqual([message.id]))
    await consumer.stop()
    await publisher.close()
  })
})

function aPublisher(kafka: KafkaBroker['kafka']): Publisher {
  // #region publisher
  const publisher = createKafkaPublisher({
    producer: () => kafka.producer(producerDefaults),
    source: '/brokerage/orders',
  })
  // Hand it to createRelay({ pool, publisher }).
  // #endregion
  return publisher
}

async function aStartedConsumer(
  kafka: KafkaBroker['kafka'],
  orders: string,
  applyOnce: (message: ReceivedMessage, signal: AbortSignal) => Promise<void>,
): Promise<Consumer> {
  // #region consumer
  const consumer = createKafkaConsumer({
    consumer: kafka.consumer({ ...consumerDefaults, groupId: `balances-of-${orders}` }),
    topics: [orders],
    producer: () => kafka.producer(producerDefaults), // for dead letters
    handler: async ({ message, signal }) => applyOnce(message, signal),
  })
  await consumer.start()
  // #endregion
  return consumer
}
