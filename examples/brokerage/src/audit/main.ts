import { runConsumer } from '../messaging/run-consumer.ts'
import { topics } from '../orders/order-events.ts'
import { recordEvent } from './record-event.ts'

await runConsumer({
  name: 'audit',
  topic: topics.audit,
  createHandler: (_db, applyOnce) => recordEvent(applyOnce),
})
