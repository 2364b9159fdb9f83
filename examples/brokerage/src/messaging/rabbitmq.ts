import { assertTopology, createRabbitmqConsumer, createRabbitmqPublisher } from '@malote/adapter-rabbitmq'
import { type Channel, type ChannelModel, connect } from 'amqplib'
import type { Broker } from './broker.ts'
import { allTopics } from '../orders/order-events.ts'
import { log } from '../process/log.ts'
import { keepsOrder, retiredQueues, subscriptions } from './subscriptions.ts'

/** One topic exchange for the brokerage: a topic is the routing key, and each subscription's queue is bound to its topics. */
const exchange = 'brokerage'

/** Makes the exchange and the queues that do not exist yet, and takes away those that nobody reads any more. */
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
    for (const queue of retiredQueues) await retire(connection, queue)
  } finally {
    await connection.close()
  }
}

/**
 * Lets nothing more into a queue of an earlier release, and deletes it when it is empty and unread. One that holds messages, or that a process of
 * that release still reads, is left to the next run: nothing is lost that nobody has read.
 */
async function retire(connection: ChannelModel, queue: string): Promise<void> {
  const channel = await connection.createChannel()
  // The broker says that there is no such queue by closing the channel, beside the answer.
  channel.on('error', () => {})
  const found = await lookAt(channel, queue)
  if (found === null) return
  for (const topic of allTopics) await channel.unbindQueue(queue, exchange, topic)
  // Counted again: a message may have come while it was still bound.
  const { messageCount, consumerCount } = await channel.checkQueue(queue)
  if (messageCount === 0 && consumerCount === 0) await channel.deleteQueue(queue)
  else
    log.warn(
      { queue, messageCount, consumerCount },
      'a queue of an earlier release gets no more messages, and was left',
    )
  await channel.close()
}

/** @returns null when there is no such queue; the channel is closed then */
async function lookAt(channel: Channel, queue: string) {
  try {
    return await channel.checkQueue(queue)
  } catch (error) {
    if ((error as { code?: unknown }).code === 404) return null
    throw error
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
