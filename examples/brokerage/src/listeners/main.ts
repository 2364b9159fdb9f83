import { createPool } from '../database/database.ts'
import { setting } from '../process/settings.ts'
import { connectNotifier } from './notifier.ts'
import { batchingOfListeners as batching } from '../messaging/batching.ts'
import { runConsumers } from '../messaging/run-consumers.ts'
import { recordEvent } from './record-event.ts'
import { countOrder } from './count-order.ts'
import { notifyCustomer } from './notify-customer.ts'
import { projectOrder } from './project-order.ts'
import { raiseAlert } from './raise-alert.ts'

const pool = createPool(setting('DATABASE_URL'), 5)
const notifier = await connectNotifier(pool)

// Who looks on: each with its own queue, its own retries and its own place in the inbox; one process is enough for all.
await runConsumers(
  [
    { name: 'notification', batching, createHandler: (_db, applyOnce) => notifyCustomer(applyOnce, notifier) },
    { name: 'audit', batching, createHandler: (_db, applyOnce) => recordEvent(applyOnce) },
    { name: 'reports', batching, createHandler: (_db, applyOnce) => countOrder(applyOnce) },
    { name: 'compliance', batching, createHandler: (_db, applyOnce) => raiseAlert(applyOnce) },
    { name: 'projection', batching, createHandler: (_db, applyOnce) => projectOrder(applyOnce) },
  ],
  async () => {
    await notifier?.close()
    await pool.end()
  },
)
