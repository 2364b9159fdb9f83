import { type PooledUrl, startPgbouncer } from '@malote/testing/services/pgbouncer'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { createInbox } from '../src/index.ts'
import { countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.truncate('orders, malote.idempotency_keys, malote.processed_messages'))
afterAll(() => database.drop())

const operation = 'createOrder'
const isReplay = (answer: { headers: object }) => 'idempotency-replayed' in answer.headers

describe('17. behind PgBouncer in transaction mode', () => {
  let bouncer: PooledUrl
  beforeAll(async () => {
    bouncer = await startPgbouncer(database.url)
  })
  afterAll(() => bouncer.close())

  it('requests, batches and messages share server connections and leave nothing on them', async () => {
    // Many clients on few server connections: whatever stays on one is somebody else's the next moment.
    const pooled = new pg.Pool({ connectionString: bouncer.url, max: 20 })
    const idem = idempotencyOn(pooled)
    const orders = idem.atomic({ operation, waitMs: 20_000 }, placeOrder)
    const batch = idem.batch({ operation, waitMs: 20_000 }, async ({ tx, requests }) => {
      const responses = []
      for (const request of requests) responses.push(await placeOrder({ tx, request }))
      return responses
    })
    const inbox = createInbox()
    const keys = Array.from({ length: 10 }, (_, at) => `a-key-behind-a-pooler-${String(at)}`)
    const apply = (at: number) =>
      inbox.transact(pooled, { consumer: 'pooled', messageId: `message ${String(at)}` }, async (tx) => {
        await tx.query('insert into orders default values')
      })

    const answers = await Promise.all([
      ...keys.flatMap((key) => [send(orders, { key }), send(batch, { key }), send(orders, { key })]),
      ...keys.flatMap((_, at) => [apply(at), apply(at)]),
    ])

    expect(answers.filter((answer) => typeof answer === 'object' && answer.status === 201)).toHaveLength(30)
    expect(answers.filter((answer) => typeof answer === 'object' && isReplay(answer))).toHaveLength(20)
    expect(answers.filter((answer) => answer === 'processed')).toHaveLength(10)
    expect(await countOrders(pool)).toBe(20)
    const { rows } = await pooled.query(
      `select current_setting('idle_in_transaction_session_timeout') as idle, current_setting('lock_timeout') as lock,
        (select count(*)::int from pg_locks
          where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
        ) as locks`,
    )
    expect(rows).toEqual([{ idle: '0', lock: '0', locks: 0 }])
    await pooled.end()
  })
})

describe('45. an application whose clock is wrong', () => {
  afterEach(() => void vi.useRealTimers())

  it.each([-1, 1])('by %i hours: the clock of the database alone says what has expired', async (hours) => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + hours * 3_600_000 })
    const retention = { bodyMs: 1_800_000, keyMs: 1_800_000 }
    const idem = idempotencyOn(pool, { retention })
    const orders = idem.atomic({ operation }, placeOrder)
    const lease = idem.lease({ operation: 'lease', scope: 'operation' }, () => Promise.resolve({ status: 200 }))

    const firsts = [await send(orders), await send(lease)]
    await idem.purge()
    const again = [await send(orders), await send(lease)]

    expect(firsts.map(isReplay)).toEqual([false, false])
    expect(again.map(isReplay)).toEqual([true, true])
    await pool.query(`update malote.idempotency_keys set expires_at = now() - interval '1 second'`)
    expect(await idem.purge()).toMatchObject({ keys: 2 })
    expect([isReplay(await send(orders)), await countOrders(pool)]).toEqual([false, 2])
  })
})
