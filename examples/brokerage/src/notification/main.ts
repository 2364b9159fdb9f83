import { runConsumer } from '../messaging/run-consumer.ts'
import { topics } from '../orders/order-events.ts'
import { notifyCustomer } from './notify-customer.ts'

await runConsumer({
  name: 'notification',
  topic: topics.notifications,
  createHandler: (_db, applyOnce) => notifyCustomer(applyOnce),
})
