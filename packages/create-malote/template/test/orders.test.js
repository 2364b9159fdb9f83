import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { expectPublished } from '@malote/outbox-core/testing'
import { openMemory } from '../src/broker.js'
import { startService } from '../src/service.js'
import { openTestDatabase } from './test-database.js'

const broker = openMemory()
const { publisher } = broker
let database
let service
before(async () => {
  database = await openTestDatabase()
  service = await startService({ port: 0, database, broker, log: () => {} })
})
after(() => service?.stop())

const order = (key, cents) =>
  fetch(`${service.url}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': `"${key}"` },
    body: JSON.stringify({ cents }),
  })

async function salesOf(id) {
  const { rows } = await database.pool.query('select cents from sales where order_id = $1', [id])
  return rows
}

test('an order is published and booked once, however often it is sent and delivered', async () => {
  const key = crypto.randomUUID()
  const [first, again] = [await order(key, 1999), await order(key, 1999)]
  const { id } = await first.json()

  assert.equal(first.status, 202)
  assert.deepEqual(await again.json(), { id })
  assert.equal(again.headers.get('idempotency-replayed'), 'true')
  await expectPublished(publisher, { type: 'order.accepted', orderingKey: id, payload: { cents: 1999 } })
  await publisher.settled()
  publisher.redeliver()
  await publisher.settled()
  assert.deepEqual(await salesOf(id), [{ cents: 1999 }])
})

test('an order that is refused leaves nothing behind', async () => {
  const { rows: before } = await database.pool.query('select count(*) from orders')
  const refused = await order(crypto.randomUUID(), -1)

  assert.equal(refused.status, 400)
  assert.deepEqual((await database.pool.query('select count(*) from orders')).rows, before)
})
