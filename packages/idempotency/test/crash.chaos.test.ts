import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { migrateIdempotency } from '../src/index.ts'
import { countOrders, createOrders, idempotencyOn, key, placeOrder, send } from './callers.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrateIdempotency(pool)
  await pool.query(`${createOrders}; create table foreign_calls (key text not null)`)
})
beforeEach(() => database.truncate('orders, foreign_calls, malote.idempotency_keys'))
afterAll(() => database.drop())

const operation = 'createOrder'
const codeOf = (answer: { text: string }) => (JSON.parse(answer.text) as { code: string }).code
const foreignCalls = async () =>
  (await pool.query('select key from foreign_calls')).rows.map((row) => row.key as string)
const expireLease = () =>
  pool.query(`update malote.idempotency_keys set lease_until = clock_timestamp() - interval '1 second'`)

type Mode = 'atomic' | 'batch' | 'hold' | 'resume'

function child(mode: Mode, point: string): ChildProcess {
  const script = fileURLToPath(new URL('crash-child.ts', import.meta.url))
  return spawn(process.execPath, ['--conditions=@malote/source', script, database.url, mode, point], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
}

async function killedAt(mode: Mode, point: string): Promise<void> {
  const [, signal] = (await once(child(mode, point), 'exit')) as [number | null, string | null]
  expect(signal).toBe('SIGKILL')
}

const points = [
  ['18.', 'before the handler', false],
  ['19.', 'after the first effect', false],
  ['20.', 'before completing', false],
  ['21.', 'before COMMIT', false],
  ['22.', 'after COMMIT', true],
] as const

describe('a batch whose process is killed', () => {
  it.each(points)(
    '%s %s is one rollback or one commit for all; each retry finds out (%s)',
    async (_, point, committed) => {
      await killedAt('batch', point)
      const ordersBefore = await countOrders(pool)
      const orders = idempotencyOn(pool).atomic({ operation, waitMs: 5_000 }, placeOrder)

      const retries = await Promise.all(['1', '2', '3'].map((last) => send(orders, { key: `${key}-${last}` })))

      expect(ordersBefore).toBe(committed ? 3 : 0)
      expect(retries.map(({ status, headers }) => [status, 'idempotency-replayed' in headers])).toEqual(
        Array.from(retries, () => [201, committed]),
      )
      expect(await countOrders(pool)).toBe(3)
    },
  )
})

describe('an atomic request whose process is killed', () => {
  it.each(points)('%s %s has one effect after a retry (committed: %s)', async (_, point, committed) => {
    await killedAt('atomic', point)
    const ordersBefore = await countOrders(pool)

    const retry = await send(idempotencyOn(pool).atomic({ operation, waitMs: 5_000 }, placeOrder))

    expect([ordersBefore, retry.status, 'idempotency-replayed' in retry.headers]).toEqual([
      committed ? 1 : 0,
      201,
      committed,
    ])
    expect(await countOrders(pool)).toBe(1)
  })
})

describe('a lease request whose process is killed', () => {
  const buy = (onLeaseExpired: 'hold' | 'resume', seen: unknown[] = []) =>
    idempotencyOn(pool).lease({ operation, onLeaseExpired }, async (call) => {
      seen.push([call.attempt, call.recovery?.point ?? null, call.downstreamKey('buy')])
      return call.commit((tx) => placeOrder({ tx, request: call.request }))
    })

  it.each(['after the claim', 'after the foreign call'])(
    '18. %s is refused until its lease runs out, then held',
    async (point) => {
      await killedAt('hold', point)
      const before = await send(buy('hold'))
      await expireLease()
      const after = await send(buy('hold'))

      expect([codeOf(before), codeOf(after)]).toEqual(['in-progress', 'indeterminate'])
      expect(await countOrders(pool)).toBe(0)
    },
  )

  it('23. after the foreign call goes on from its recovery point with the same downstream key', async () => {
    await killedAt('resume', 'after the foreign call')
    await expireLease()
    const seen: unknown[] = []

    const retry = await send(buy('resume', seen))

    expect([retry.status, await countOrders(pool)]).toEqual([201, 1])
    expect(seen).toEqual([[2, 'bought', (await foreignCalls())[0]]])
  })

  it('24. that is stopped for longer than its lease is fenced when it goes on', async () => {
    const stopped = child('resume', 'stopped')
    const lines = createInterface({ input: stopped.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
    await lines.next()
    stopped.kill('SIGSTOP')
    await expireLease()

    const owner = await send(buy('resume'))
    stopped.kill('SIGCONT')
    stopped.stdin?.write('go on\n')
    const { value } = (await lines.next()) as { value: string }
    stopped.stdin?.end()
    await once(stopped, 'exit')

    expect([owner.status, value]).toEqual([201, 'answered 409'])
    expect(await countOrders(pool)).toBe(1)
  })
})
