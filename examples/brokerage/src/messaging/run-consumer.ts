import { createInbox } from '@malote/idempotency'
import { type DeliveryHandler, exponentialBackoff } from '@malote/outbox-core'
import { createDatabase, createPool, type Database } from '../database/database.ts'
import type { Topic } from '../orders/order-events.ts'
import { report, runRole } from '../process/run-role.ts'
import { setting } from '../process/settings.ts'
import { type ApplyOnce, createApplyOnce } from './apply-once.ts'
import { consumerConcurrency } from './batching.ts'
import { connectBroker } from './broker.ts'

export interface ConsumerRole {
  /** Name of the consumer, and its scope in the inbox. Never change it: the inbox would forget what was applied. */
  readonly name: string
  readonly topic: Topic
  readonly createHandler: (db: Database, applyOnce: ApplyOnce) => DeliveryHandler
}

/** Runs a process that consumes one topic into one handler. */
export function runConsumer({ name, topic, createHandler }: ConsumerRole): Promise<void> {
  return runRole(async () => {
    const pool = createPool(setting('DATABASE_URL'))
    const db = createDatabase(pool)
    const broker = await connectBroker()
    const consumer = broker.createConsumer(topic, {
      handler: createHandler(db, createApplyOnce(db, createInbox(), name)),
      concurrency: consumerConcurrency,
      // An exchange may be away for hours; its orders wait for it and are not thrown away.
      maxAttempts: 1_000,
      backoff: exponentialBackoff({ baseMs: 100, maxMs: 2_000 }),
      onEvent: (event) => {
        if (event.type === 'message.dead-lettered')
          report({ type: 'event', name: event.type, detail: { consumer: name, reason: event.reason } })
      },
    })
    await consumer.start()
    return {
      stop: async () => {
        await consumer.stop()
        await broker.close()
        await pool.end()
      },
    }
  })
}
