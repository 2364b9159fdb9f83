// RabbitMQ at AMQP_URL (then: npm install @malote/adapter-rabbitmq amqplib), or a broker in memory.
import { createMemoryBroker } from '@malote/outbox-core/testing'

/** @returns {Promise<{ publisher: import('@malote/outbox-core').Publisher, createConsumer(options: object): import('@malote/outbox-core').Consumer }>} */
export const openBroker = async (url = process.env.AMQP_URL) => (url === undefined ? openMemory() : openRabbitmq(url))

/** It forgets everything when the process ends: for development and tests. */
export function openMemory() {
  const broker = createMemoryBroker()
  return { publisher: broker, createConsumer: (options) => broker.createConsumer({ topic: 'orders', ...options }) }
}

async function openRabbitmq(url) {
  const { connect } = await import('amqplib')
  const { assertTopology, createRabbitmqConsumer, createRabbitmqPublisher } = await import('@malote/adapter-rabbitmq')
  const connection = await connect(url)
  await assertTopology(await connection.createChannel(), { exchange: 'my-service', queue: 'sales', topics: ['orders'] })
  await connection.close()
  return {
    publisher: createRabbitmqPublisher({ connect: () => connect(url), exchange: 'my-service', source: '/my-service' }),
    createConsumer: (options) => createRabbitmqConsumer({ connect: () => connect(url), queue: 'sales', ...options }),
  }
}
