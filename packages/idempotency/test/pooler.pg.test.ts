import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { type PooledUrl, startPgbouncer } from '@malote/testing/services/pgbouncer'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, inject, it } from 'vitest'
import { createInbox, migrateIdempotency } from '../src/index.ts'
import { countOrders, createOrders, idempotencyOn, key, placeOrder, send } from './callers.ts'

let database: TestDatabase
let pooler: PooledUrl
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await migrateIdempotency(database.pool())
  await database.pool().query(createOrders)
  pooler = await startPgbouncer(database.url)
  // More clients than the pooler has connections: they really share.
  pool = new pg.Pool({ connectionString: pooler.url, max: 12 })
})
beforeEach(() => database.truncate('orders, malote.idempotency_keys'))
afterAll(async () => {
  await pool.end()
  await pooler.close()
  await database.drop()
})

const operation = 'createOrder'

it('17. by way of PgBouncer 40 requests with 8 keys make 8 orders', async () => {
  const orders = idempotencyOn(pool).atomic({ operation, waitMs: 20_000 }, placeOrder)

  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, at) => send(orders, { key: `${key}-${String(at % 8)}` })),
  )

  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
  expect([new Set(answers.map(({ text }) => text)).size, await countOrders(pool)]).toEqual([8, 8])
})

it('17. leaves no lock, no setting and no open transaction on the connections behind it', async () => {
  const refused = idempotencyOn(pool).atomic({ operation }, async (call) => ({
    ...(await placeOrder(call)),
    status: 409,
  }))
  await Promise.all(Array.from({ length: 8 }, (_, at) => send(refused, { key: `${key}-${String(at)}` })))

  const { rows } = await database.pool().query(`
    select (select count(*)::int from pg_locks where locktype = 'advisory') as locks,
      (select count(*)::int from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle') as busy`)
  const settings = await Promise.all(
    Array.from({ length: 8 }, async () => (await pool.query('show idle_in_transaction_session_timeout')).rows[0]),
  )

  expect(rows).toEqual([{ locks: 0, busy: 0 }])
  expect(new Set(settings.map((row) => JSON.stringify(row))).size).toBe(1)
})

it('17. by way of PgBouncer leases are kept, and the inbox applies once', async () => {
  const idempotency = idempotencyOn(pool)
  const buy = idempotency.lease({ operation }, (call) => call.commit((tx) => placeOrder({ tx, request: call.request })))
  const inbox = createInbox()
  const apply = () =>
    inbox.transact(pool, { consumer: 'orders', messageId: 'm-1' }, async (tx) => {
      await tx.query('insert into orders default values')
    })

  const [first, retry] = [await send(buy), await send(buy)]
  const results = await Promise.all([apply(), apply(), apply()])

  expect([first.status, retry.headers['idempotency-replayed'], await countOrders(pool)]).toEqual([201, 'true', 2])
  expect(results.toSorted()).toEqual(['duplicate', 'duplicate', 'processed'])
})
