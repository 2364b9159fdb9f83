// Everything in one process. In production the route, the relay and the consumer may each have their own: they share only the database.
import { createRelay } from '@malote/outbox-core'
import fastify from 'fastify'
import { openBroker } from './broker.js'
import { openDatabase } from './database.js'
import { mountOrders } from './orders.js'
import { createSalesHandler } from './sales.js'

/** @param {{ port?: number, databaseUrl?: string, log?: (line: string) => void }} options */
export async function startService({ port = 3000, databaseUrl, log = console.log } = {}) {
  const database = await openDatabase(databaseUrl)
  const broker = await openBroker()
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

  relay.start()
  await consumer.start()
  const url = await app.listen({ port, host: '127.0.0.1' })
  return {
    url,
    pool: database.pool,
    publisher,
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
