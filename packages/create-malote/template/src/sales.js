// The consumer: each accepted order becomes one sale, however often its message arrives.
import { createHandlers, createInbox } from '@malote/idempotency'
import { catalog } from './catalog.js'

export function createSalesHandler(pool, log) {
  const inbox = createInbox({
    onEvent: ({ type }) => type === 'inbox.duplicate' && log('   it came a second time: nothing to do'),
  })
  return createHandlers(
    catalog,
    {
      'order.accepted': async ({ orderId, cents }, tx) => {
        await tx.query('insert into sales (order_id, cents) values ($1, $2)', [orderId, cents])
        log(`3. order ${orderId} is booked as a sale`)
      },
    },
    { inbox, db: pool, consumer: 'sales' },
  )
}
