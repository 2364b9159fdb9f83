import { createPool } from '../database/database.ts'
import { setting } from '../process/settings.ts'
import { connectNotifier } from './notifier.ts'
import { batchingOfListeners as batching, listenerConcurrency as concurrency } from '../messaging/batching.ts'
import { runConsumers } from '../messaging/run-consumers.ts'
import { recordEvent } from './record-event.ts'
import { countOrder } from './count-order.ts'
import { deliverNotice, notifyCustomer } from './notify-customer.ts'
import { projectOrder } from './project-order.ts'
import { raiseAlert } from './raise-alert.ts'
import { tellListeners } from './tell-listeners.ts'

const pool = createPool(setting('DATABASE_URL'), 5)
const notifier = await connectNotifier(pool)

// Same database, same queue: these are told together. The query side comes first, since a rebuild of it may have to be waited for.
const listeners = [projectOrder, notifyCustomer(notifier !== null), recordEvent, countOrder, raiseAlert]

// Somebody else's service, another queue, with its own retries. One process is enough for both.
await runConsumers(
  [
    {
      name: 'listeners',
      batching,
      concurrency,
      createHandler: (_db, applyOnce) => tellListeners(applyOnce, listeners),
    },
    { name: 'notification', batching, createHandler: (_db, applyOnce) => deliverNotice(applyOnce, notifier) },
  ],
  async () => {
    await notifier?.close()
    await pool.end()
  },
)
