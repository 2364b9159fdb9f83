import { runConsumers } from '../messaging/run-consumers.ts'
import { closeOrder } from './close-orders.ts'

await runConsumers([{ name: 'balances', createHandler: (_db, applyOnce) => closeOrder(applyOnce, 'balances') }])
