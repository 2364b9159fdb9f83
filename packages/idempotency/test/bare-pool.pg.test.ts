import type pg from 'pg'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { eventually } from '@malote/outbox-core/testing'
import { createInbox } from '../src/index.ts'
import { createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  await database.pool().query(createOrders)
})
afterAll(() => database.drop())

it.each<[string, (pool: pg.Pool) => Promise<unknown>]>([
  ['idempotency', (pool) => send(idempotencyOn(pool).atomic({ operation: 'createOrder' }, placeOrder))],
  ['the inbox', (pool) => createInbox().transact(pool, { consumer: 'c', messageId: 'm' }, () => Promise.resolve())],
])(
  'a session that ends while it is idle ends no process that gave %s a pool to which nobody listens',
  async (_, use) => {
    const pool = database.pool({ max: 1 })
    pool.removeAllListeners('error') // A test's database listens to the pools that it gives.
    await use(pool)
    const { rows } = await pool.query('select pg_backend_pid() as pid')

    expect(pool.listenerCount('error')).toBeGreaterThan(0) // Else the next line is an uncaught exception.
    await database.owner.query('select pg_terminate_backend($1)', [rows[0].pid])

    await eventually(() => expect(pool.totalCount).toBe(0))
    await expect(use(pool)).resolves.toBeDefined()
  },
)
