import { assertTopology, createRabbitmqConsumer, createRabbitmqPublisher } from '@malote/adapter-rabbitmq'
import { type ChannelModel, connect } from 'amqplib'
import type { Broker } from './broker.ts'
import { keepsOrder, subscriptions } from './subscriptions.ts'

/** One topic exchange for the brokerage: a topic is the routing key, and each subscription's queue is bound to its topics. */
const exchange = 'brokerage'

/** Makes the exchange and the queues that do not exist yet. */
export async function prepareRabbitmq(url: string): Promise<void> {
  const connection: ChannelModel = await connect(url)
  try {
    const channel = await connection.createChannel()
    for (const subscription of subscriptions)
      await assertTopology(channel, {
        exchange,
        queue: subscription.queue,
        topics: subscription.topics,
        singleActiveConsumer: keepsOrder(subscription),
      })
  } finally {
    await connection.close()
  }
}

export function createRabbitmqBroker(url: string): Promise<Broker> {
  const open = (): Promise<ChannelModel> => connect(url)
  return Promise.resolve({
    createPublisher: () => createRabbitmqPublisher({ connect: open, source: '/brokerage', exchange }),
    createConsumer: (subscription, options) => {
      // While one batch is handled the next one is here already. More would leave others who share the queue without work.
      const prefetch = 2 * (options.concurrency ?? 10)
      return createRabbitmqConsumer({ ...options, prefetch, connect: open, queue: subscription.queue })
    },
    close: () => Promise.resolve(), // Publishers and consumers close the connections they opened.
  })
}
