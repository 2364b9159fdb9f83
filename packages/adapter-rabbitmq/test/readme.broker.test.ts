import type { Consumer, DeliveryHandler, Publisher } from '@malote/outbox-core'
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
    const message = anOutboxMessage({ topic: queue, orderingKey: 'order-1' })
    await declare(url, queue, queue)

    const publisher = ordersPublisher(url)
    await publisher.publish([message], AbortSignal.timeout(scaled(10_000)))
    const consumer = await startConsumer(url, queue, ({ message: received }) =>
      Promise.resolve(void handled.push(received.id)),
    )

    await eventually(() => expect(handled).toEqual([message.id]))
    await consumer.stop()
    await publisher.close()
  })
})

// #region topology
/** Messages of `topic` go to `queue`. */
async function declare(url: string, topic: string, queue: string): Promise<void> {
  const connection = await connect(url)
  await assertTopology(await connection.createChannel(), { exchange: 'brokerage', topics: [topic], queue })
  await connection.close()
}
// #endregion

// #region publisher
/** Hand it to `createRelay({ pool, publisher })`. */
function ordersPublisher(url: string): Publisher {
  return createRabbitmqPublisher({
    connect: () => connect(url),
    exchange: 'brokerage',
    source: '/brokerage/orders',
  })
}
// #endregion

// #region consumer
/** `handler` makes its effect once, by an inbox. `stop()` the consumer on SIGTERM. */
async function startConsumer(url: string, queue: string, handler: DeliveryHandler): Promise<Consumer> {
  const consumer = createRabbitmqConsumer({ connect: () => connect(url), queue, handler })
  await consumer.start()
  return consumer
}
// #endregion
