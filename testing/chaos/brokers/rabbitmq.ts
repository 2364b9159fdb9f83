import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import {
  assertTopology,
  createRabbitmqConsumer,
  createRabbitmqPublisher,
  deadLetterQueueOf,
} from '../../../packages/adapter-rabbitmq/src/index.ts'
import { startRabbitmq } from '../../services/rabbitmq.ts'
import type { BrokerKind } from './broker.ts'

const exchange = 'chaos'
const queue = 'chaos'

/** A quorum queue with a single active consumer, so that arrival order is the queue's order. */
export const rabbitmq: BrokerKind = {
  start: async () => {
    const server = await startRabbitmq({ exclusive: true })
    const connection = await connect(server.url)
    const channel = await connection.createChannel()
    await assertTopology(channel, { exchange, queue, topics: ['#'] })
    await connection.close()
    const messagesIn = async (isMeant: (queue: string | undefined) => boolean): Promise<number> => {
      const lines = (await server.ctl('list_queues', '--no-table-headers', 'name', 'messages')).trim().split('\n')
      return lines
        .map((line) => line.split('\t'))
        .filter(([name]) => isMeant(name))
        .reduce((sum, [, messages]) => sum + Number(messages ?? 0), 0)
    }
    return {
      settings: { kind: 'rabbitmq', address: server.url },
      port: Number(new URL(server.url).port),
      through: (port, host = '127.0.0.1') => ({
        kind: 'rabbitmq',
        address: Object.assign(new URL(server.url), { port: String(port), hostname: host }).toString(),
      }),
      restart: async (downMs) => {
        await server.queuesSaved()
        await server.stop('kill')
        await sleep(downMs)
        await server.start()
      },
      trouble: async (how, forMs) => {
        if (how === 'throttled') {
          const limit = JSON.stringify({ 'max-length': 1, overflow: 'reject-publish' })
          await server.ctl('set_policy', 'full', `^${queue}$`, limit, '--apply-to', 'queues')
          await sleep(forMs)
          await server.ctl('clear_policy', 'full')
          return
        }
        const connection = await connect(server.url)
        const channel = await connection.createChannel()
        await channel.unbindQueue(queue, exchange, '#')
        await sleep(forMs)
        await channel.bindQueue(queue, exchange, '#')
        await connection.close()
      },
      refuseDeadLetters: async (forMs) => {
        const limit = JSON.stringify({ 'max-length': 0, overflow: 'reject-publish' })
        await server.ctl('set_policy', 'closed', `^${deadLetterQueueOf(queue)}$`, limit, '--apply-to', 'queues')
        await sleep(forMs)
        await server.ctl('clear_policy', 'closed')
      },
      // Less is free than the broker insists on: it takes nothing from anybody, and answers nothing to who publishes.
      fillDisk: async (forMs) => {
        await server.ctl('set_disk_free_limit', '1000GB')
        await sleep(forMs)
        const states = await server.ctl('list_connections', 'state')
        await server.ctl('set_disk_free_limit', '50MB')
        return /block/.test(states)
      },
      deadLetters: () => messagesIn((name) => name === deadLetterQueueOf(queue)),
      // What failed waits in a queue of its own and counts.
      unacknowledged: () => messagesIn((name) => name !== deadLetterQueueOf(queue)),
      close: () => server.dispose(),
    }
  },
  publisher: ({ address }) =>
    createRabbitmqPublisher({ connect: () => connect(`${address}?heartbeat=2`), source: '/chaos', exchange }),
  consumer: ({ address }, options) =>
    createRabbitmqConsumer({ ...options, connect: () => connect(`${address}?heartbeat=2`), queue, concurrency: 10 }),
}
