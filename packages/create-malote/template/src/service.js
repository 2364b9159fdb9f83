// Everything in one process. In production the route, the relay and the consumer may each have their own: they share only the database.
import { createRelay } from '@malote/outbox-core'
import fastify from 'fastify'
import { mountOrders } from './orders.js'
import { createSalesHandler } from './sales.js'

/**
 * @param {object} parts
 * @param {number} parts.port
 * @param {Awaited<ReturnType<import('./database.js').openDatabase>>} parts.database - closed by `stop`
 * @param {Awaited<ReturnType<import('./broker.js').openBroker>>} parts.broker
 * @param {(line: string) => void} [parts.log]
 */
export async function startService({ port, database, broker, log = console.log }) {
  const { publisher } = broker

  const onRelayEvent = (event) => {
    if (event.type === 'batch.published') log(`2. the relay brought ${event.messages} message(s) to the broker`)
    if (/outage|disconnected|dead-lettered|held/.test(event.type))
      log(`relay: ${event.type} ${event.error ?? event.code ?? ''}`)
  }
  const onConsumerEvent = (event) => {
    if (/failed|paused|disconnected|dead-lettered|unknown/.test(event.type))
      log(`consumer: ${event.type} ${event.error ?? ''}`)
  }
  const relay = createRelay({ pool: database.relayPool, publisher, onEvent: onRelayEvent })
  const consumer = broker.createConsumer({ handler: createSalesHandler(database.pool, log), onEvent: onConsumerEvent })
  const app = fastify()
  mountOrders(app, database.pool, log)

  const url = await app.listen({ port, host: '127.0.0.1' })
  relay.start()
  await consumer.start()
  return {
    url,
    /** In this order: no new requests, no new messages, then what is under way, then the database. */
    stop: async () => {
      await app.close()
      await consumer.stop()
      await relay.stop()
      await publisher.close()
      await database.stop()
    },
  }
}
