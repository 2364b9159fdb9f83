import { runConsumer } from '../messaging/run-consumer.ts'
import { topics } from '../orders/order-events.ts'
import { countOrder } from './count-order.ts'

await runConsumer({
  name: 'reports',
  topic: topics.reports,
  createHandler: (_db, applyOnce) => countOrder(applyOnce),
})
