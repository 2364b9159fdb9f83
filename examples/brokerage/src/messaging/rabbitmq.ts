import { assertTopology, createRabbitmqConsumer, createRabbitmqPublisher } from '@malote/adapter-rabbitmq'
import { type ChannelModel, connect } from 'amqplib'
import { allTopics } from '../orders/order-events.ts'
import type { Broker } from './broker.ts'

/** One exchange for the brokerage; a topic is its routing key, and a queue of the same name gets it. */
const exchange = 'brokerage'

/** Makes the exchange and the queues that do not exist yet. */
export async function prepareRabbitmq(url: string): Promise<void> {
  const connection: ChannelModel = await connect(url)
  try {
    const channel = await connection.createChannel()
    for (const topic of allTopics) await assertTopology(channel, { exchange, queue: topic, topics: [topic] })
  } finally {
    await connection.close()
  }
}

export function createRabbitmqBroker(url: string): Promise<Broker> {
  const open = (): Promise<ChannelModel> => connect(url)
  return Promise.resolve({
    createPublisher: () => createRabbitmqPublisher({ connect: open, source: '/brokerage', exchange }),
    createConsumer: (topic, options) => createRabbitmqConsumer({ ...options, connect: open, queue: topic }),
    close: () => Promise.resolve(), // Publishers and consumers close the connections they opened.
  })
}
