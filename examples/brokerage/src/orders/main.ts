import { createExchangeClient } from '../b3/exchange-client.ts'
import { runConsumer } from '../messaging/run-consumer.ts'
import { setting } from '../process/settings.ts'
import { executeOrder } from './execute-order.ts'
import { topics } from './order-events.ts'

await runConsumer({
  name: 'order-consumer',
  topic: topics.orders,
  createHandler: (db, applyOnce) =>
    executeOrder({ db, applyOnce, exchange: createExchangeClient(setting('B3_URL')), giveUpAfter: 4 }),
})
