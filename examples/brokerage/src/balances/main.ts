import { runConsumer } from '../messaging/run-consumer.ts'
import { topics } from '../orders/order-events.ts'
import { closeOrder } from './close-order.ts'

await runConsumer({
  name: 'balance-consumer',
  topic: topics.balances,
  createHandler: (_db, applyOnce) => closeOrder(applyOnce),
})
