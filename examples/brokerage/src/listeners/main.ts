import { createPool } from '../database/database.ts'
import { setting } from '../process/settings.ts'
import { connectNotifier } from './notifier.ts'
import { batchingOfListeners as batching } from '../messaging/batching.ts'
import { runConsumers } from '../messaging/run-consumers.ts'
import { recordEvent } from './record-event.ts'
import { countOrder } from './count-order.ts'
import { deliverNotice, notifyCustomer } from './notify-customer.ts'
import { projectOrder } from './project-order.ts'
import { raiseAlert } from './raise-alert.ts'
import { tellListeners } from './tell-listeners.ts'

const pool = createPool(setting('DATABASE_URL'), 5)
const notifier = await connectNotifier(pool)

// Same database, same queue: these are told together.
const listeners = [notifyCustomer(notifier !== null), recordEvent, countOrder, raiseAlert]

// Another database or somebody else's service, another queue, with its own retries: the notifier has one, and so has the query side,
// which may move to a database of its own any day. One process is enough for all of them.
await runConsumers(
  [
    { name: 'listeners', batching, createHandler: (_db, applyOnce) => tellListeners(applyOnce, listeners) },
    { name: 'notification', batching, createHandler: (_db, applyOnce) => deliverNotice(applyOnce, notifier) },
    { name: 'projection', batching, createHandler: (_db, applyOnce) => projectOrder(applyOnce) },
  ],
  async () => {
    await notifier?.close()
    await pool.end()
  },
)
