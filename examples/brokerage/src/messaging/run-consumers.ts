import { createInbox } from '@malote/idempotency'
import {
  exponentialBackoff,
  inBatches,
  type InBatchesOptions,
  type StreamBatchFunction,
  type StreamHandler,
} from '@malote/outbox-core'
import { tracedHandler } from '@malote/outbox-core/otel'
import { createDatabase, createPool, type Database } from '../database/database.ts'
import { log } from '../process/log.ts'
import { report, type RoleCommand, runRole } from '../process/run-role.ts'
import { setting } from '../process/settings.ts'
import { isTraced } from '../process/telemetry.ts'
import { type ApplyOnce, createApplyOnce } from './apply-once.ts'
import { connectBroker } from './broker.ts'
import { consumerConcurrency, createHand } from './batching.ts'
import { type ConsumerName, subscriptionOf } from './subscriptions.ts'

export interface ConsumerRole {
  readonly name: ConsumerName
  /** How its messages share transactions. @defaultValue `batching` */
  readonly batching?: InBatchesOptions
  /** Streams under way at a time: what a batch is made of. @defaultValue `consumerConcurrency` */
  readonly concurrency?: number
  readonly createHandler: (db: Database, applyOnce: ApplyOnce, batching: InBatchesOptions) => StreamHandler
}

/** Runs a process with some consumers, each with its own queue and its own place in the inbox. */
export function runConsumers(
  roles: readonly ConsumerRole[],
  stop: () => Promise<void> = async () => {},
): Promise<void> {
  return runRole(async () => {
    const pool = createPool(setting('DATABASE_URL'))
    const db = createDatabase(pool)
    const broker = await connectBroker()
    const inbox = createInbox()
    const witness = process.env['WITNESS'] === '1' ? (await import('../witness/witness.ts')).witness : null
    const fault = consumerFault()
    const consumers = roles.map(({ name, createHandler, batching: given, concurrency = consumerConcurrency }) => {
      const { batching, counted } = createHand(given)
      const applyOnce = createApplyOnce(pool, inbox, name, witness, batching)
      const { run, ...sizes } = createHandler(db, applyOnce, batching).byStream
      const handler = inBatches(fault(counted(run)), { ...sizes, byStream: true })
      return broker.createConsumer(subscriptionOf(name), {
        handler: isTraced() ? tracedHandler(handler, { system: setting('BROKER') }) : handler,
        concurrency,
        // A database may be away for hours; messages wait for it and are not thrown away.
        maxAttempts: 1_000_000,
        backoff: exponentialBackoff({ baseMs: 100, maxMs: 2_000 }),
        onEvent: (event) => {
          if (event.type !== 'message.dead-lettered') return
          log.error({ consumer: name, messageId: event.id, reason: event.reason }, 'message dead-lettered')
          report({ type: 'event', name: event.type, detail: { consumer: name, reason: event.reason } })
        },
      })
    })
    await Promise.all(consumers.map((consumer) => consumer.start()))
    return {
      stop: async () => {
        await Promise.all(consumers.map((consumer) => consumer.stop()))
        await stop()
        await broker.close()
        await pool.end()
      },
    }
  })
}

/** Lets whoever runs this process make its handlers fail: all of them, or each message until its n-th attempt. */
function consumerFault(): (run: StreamBatchFunction) => StreamBatchFunction {
  let failBeforeAttempt = 0
  process.on('message', (command: RoleCommand) => {
    if (command.type === 'fail-before-attempt') failBeforeAttempt = command.attempt ?? Number.POSITIVE_INFINITY
  })
  return (run) => async (deliveries) => {
    if (deliveries.some(({ attempt }) => attempt < failBeforeAttempt)) throw new Error('the consumer was told to fail')
    return run(deliveries)
  }
}
