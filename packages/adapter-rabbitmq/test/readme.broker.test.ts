import type { Consumer, Publisher, ReceivedMessage } from '@malote/outbox-core'
import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import { scaled } from '@malote/testing/slowness'
import { connect } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { assertTopology, createRabbitmqConsumer, createRabbitmqPublisher } from '../src/index.ts'
import { uniqueName } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')

describe.skipIf(url === '')('the code of the README', () => {
  it('carries a message from the publisher to the consumer', async () => {
    const queue = uniqueName('balances')
    const handled: string[] = []
    const message = anOutboxMessage({ topic: `order.${queue}`, orderingKey: 'order-1' })
    await declare(queue)

    const publisher = aPublisher()
    await publisher.publish([message], AbortSignal.timeout(scaled(10_000)))
    const consumer = await aStartedConsumer(queue, (received) => Promise.resolve(void handled.push(received.id)))

    await eventually(() => expect(handled).toEqual([message.id]))
    await consumer.stop()
    await publisher.close()
  })
})

async function declare(queue: string): Promise<void> {
  // #region topology
  const connection = await connect(url)
  await assertTopology(await connection.createChannel(), { exchange: 'brokerage', queue, topics: [`order.${queue}`] })
  await connection.close()
  // #endregion
}

function aPublisher(): Publisher {
  // #region publisher
  const publisher = createRabbitmqPublisher({
    connect: () => connect(url),
    exchange: 'brokerage',
    source: '/brokerage/orders',
  })
  // Hand it to createRelay({ pool, publisher }).
  // #endregion
  return publisher
}

async function aStartedConsumer(
  queue: string,
  applyOnce: (message: ReceivedMessage, signal: AbortSignal) => Promise<void>,
): Promise<Consumer> {
  // #region consumer
  const consumer = createRabbitmqConsumer({
    connect: () => connect(url),
    queue,
    handler: async ({ message, signal }) => applyOnce(message, signal),
  })
  await consumer.start()
  // #endregion
  return consumer
}
