import { randomUUID } from 'node:crypto'
import { type DatabaseClient, pgDatabase } from '@malote/outbox-core/pg'
import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createIdempotency, type HandlerResponse } from '../src/index.ts'
import { alice, type Caller, countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { lockNumberOf } from '../src/http/scope.ts'
import { gate, isWaiting, withoutWaiting } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.truncate('orders, malote.idempotency_keys'))
afterAll(() => database.drop())

const operation = 'createOrder'
const storedKeys = async () => (await pool.query('select * from malote.idempotency_keys')).rows
const problemOf = (answer: { text: string }) =>
  JSON.parse(answer.text) as { code: string; type: string; status: number }

describe('an atomic operation', () => {
  it('runs once; a retry gets the same answer, marked', async () => {
    const idem = idempotencyOn(pool)
    const orders = idem.atomic({ operation }, placeOrder)

    const [first, second] = [await send(orders), await send(orders)]

    expect(first.status).toBe(201)
    expect(first.headers).not.toHaveProperty('idempotency-replayed')
    expect(second).toEqual({ ...first, headers: { ...first.headers, 'idempotency-replayed': 'true' } })
    expect(await countOrders(pool)).toBe(1)
    expect(idem.outcomes()).toEqual(['executed', 'replayed'])
  })

  it('works with Kysely', async () => {
    const db = new Kysely<{ orders: { amount: number } }>({ dialect: new PostgresDialect({ pool: database.pool() }) })
    const idem = createIdempotency({
      db,
      tenant: (caller: Caller) => caller.tenant,
      subject: (caller: Caller) => caller.subject,
      pepper: 'p'.repeat(16),
    })
    const orders = idem.atomic({ operation }, async ({ tx }) => {
      await tx.insertInto('orders').values({ amount: 1 }).execute()
      return { status: 204 }
    })

    expect([await send(orders), await send(orders)]).toMatchObject([
      { status: 204, text: '' },
      { status: 204, text: '' },
    ])
    expect(await countOrders(pool)).toBe(1)
    await db.destroy()
  })

  it('1. 50 parallel requests with one key make one order and no error', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

    const answers = await Promise.all(Array.from({ length: 50 }, () => send(orders)))

    expect(await countOrders(pool)).toBe(1)
    expect(
      answers.filter((answer) => answer.status === 201 && !('idempotency-replayed' in answer.headers)),
    ).toHaveLength(1)
    expect(answers.every(({ status }) => status === 201 || status === 409)).toBe(true)
    expect(answers.filter(({ status }) => status === 409).every(({ headers }) => headers['retry-after'] === '1')).toBe(
      true,
    )
  })

  it('2. with waitMs all 50 get the same 201 over a pool of two', async () => {
    const orders = idempotencyOn(database.pool({ max: 2 })).atomic({ operation, waitMs: 20_000 }, placeOrder)

    const answers = await Promise.all(Array.from({ length: 50 }, () => send(orders)))

    expect(new Set(answers.map(({ status, text }) => `${String(status)} ${text}`)).size).toBe(1)
    expect(answers[0]?.status).toBe(201)
    expect(await countOrders(pool)).toBe(1)
  })

  it('3. of two payloads under one key in parallel one runs, the other is told 409 and then 422', async () => {
    const [entered, opened] = [gate(), gate()]
    const orders = idempotencyOn(pool).atomic({ operation }, async (call) => {
      const response = await placeOrder(call)
      entered.open()
      await opened.passed
      return response
    })
    const first = send(orders)
    await entered.passed

    const during = await withoutWaiting(pool, send(orders, { body: { amount: 2000 } })).finally(opened.open)
    await first
    const after = await send(orders, { body: { amount: 2000 } })

    expect([problemOf(during).code, problemOf(after).code]).toEqual(['in-progress', 'key-reused'])
    expect((await send(orders)).text).toBe((await first).text)
    expect(await countOrders(pool)).toBe(1)
  })

  it('4. a mismatch leaves the stored response as it was', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

    const first = await send(orders)
    const mismatch = await send(orders, { body: { amount: 2000 } })
    const replay = await send(orders)

    expect([first.status, mismatch.status, replay.status]).toEqual([201, 422, 201])
    expect(replay.text).toBe(first.text)
    expect(mismatch.headers).toMatchObject({ 'content-type': 'application/problem+json', 'content-language': 'en' })
  })

  it('5. its own refusals are never stored', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

    const missing = await send(orders, { key: null })
    const malformed = await send(orders, { key: 'short' })
    const ambiguous = await send(orders, { body: '{"amount":9007199254740993}' })

    expect([missing, malformed, ambiguous].map((answer) => problemOf(answer).code)).toEqual([
      'key-missing',
      'key-malformed',
      'body-ambiguous',
    ])
    expect(missing.headers['link']).toContain(problemOf(missing).type)
    expect(await storedKeys()).toEqual([])
  })

  it('7. a response that commits between the lost claim and the second look is replayed', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)
    const winner = await database.client()
    const first = await send(orders)
    const [row] = await storedKeys()
    await pool.query('delete from malote.idempotency_keys')
    await winner.query('begin')
    await winner.query(
      'insert into malote.idempotency_keys select * from jsonb_populate_record(null::malote.idempotency_keys, $1)',
      [toJson(row)],
    )

    const loser = send(orders) // The insert waits for the winner: it does not hold the advisory lock.
    await isWaiting(pool)
    await winner.query('commit')

    expect((await loser).text).toBe(first.text)
    expect(await countOrders(pool)).toBe(1)
  })

  it('16. a foreign holder of the same advisory number means 409, never a false replay', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)
    await send(orders)
    const { rows } = await pool.query('select key_hash from malote.idempotency_keys')
    await database.owner.query('truncate malote.idempotency_keys')
    const stranger = await database.client()
    await stranger.query('begin')
    await stranger.query('select pg_advisory_xact_lock($1::bigint)', [lockNumberOf(rows[0].key_hash)])

    expect((await send(orders)).status).toBe(409)
    await stranger.query('rollback')
    expect((await send(orders)).status).toBe(201)
  })
})

describe('what is not stored', () => {
  const answering = (response: HandlerResponse) =>
    idempotencyOn(pool).atomic({ operation }, async (call) => {
      await placeOrder(call)
      return response
    })

  it('a handler that throws leaves neither effect nor key', async () => {
    let failing = true
    const orders = idempotencyOn(pool).atomic({ operation }, async (call) => {
      const response = await placeOrder(call)
      if (failing) throw new Error('broken')
      return response
    })

    await expect(send(orders)).rejects.toThrow('broken')
    expect([await countOrders(pool), await storedKeys()]).toEqual([0, []])
    failing = false
    expect((await send(orders)).status).toBe(201)
  })

  it.each([500, 503, 401, 403, 408, 413, 425, 429])('a %s leaves neither effect nor key', async (status) => {
    const answer = await send(answering({ status, body: { no: true } }))

    expect(answer).toMatchObject({ status, text: '{"no":true}' })
    expect([await countOrders(pool), await storedKeys()]).toEqual([0, []])
  })

  it('a 4xx that is undone by a rollback is stored behind it, unless another request has taken the key meanwhile', async () => {
    const { pool: _, ...client } = pgDatabase(pool)
    let begins = 0
    let between = (): Promise<unknown> => Promise.resolve()
    const db: DatabaseClient<pg.PoolClient> = {
      ...client,
      begin: async (isolation, work) => {
        begins++
        if (begins === 2) await between()
        return client.begin(isolation, work)
      },
    }
    const onClient = createIdempotency<typeof db, Caller>({
      db,
      tenant: ({ tenant }) => tenant,
      subject: ({ subject }) => subject,
      pepper: 'a pepper of at least 16 bytes',
    })
    let calls = 0
    const refusing = onClient.atomic({ operation: 'createOrder' }, async (call) => {
      calls++
      await placeOrder(call)
      return { status: 422, body: 'no' }
    })

    const refused = await send(refusing)
    expect([refused.status, begins, calls, await countOrders(pool)]).toEqual([422, 2, 1, 0])
    const again = await send(refusing)
    expect([again.status, again.text, calls]).toEqual([422, refused.text, 1])

    begins = 0
    const another = { key: randomUUID() }
    between = () => send(idempotencyOn(pool).atomic({ operation: 'createOrder' }, placeOrder), another)
    const overtaken = await send(refusing, another)
    expect([overtaken.status, 'idempotency-replayed' in overtaken.headers, calls]).toEqual([201, true, 2])
    expect(await countOrders(pool)).toBe(1)
  })

  it.each([402, 404, 409, 422])('a %s undoes the effect and is replayed', async (status) => {
    const orders = answering({ status, body: { no: true } })

    expect([await send(orders), await send(orders)]).toMatchObject([{ status }, { status, text: '{"no":true}' }])
    expect([await countOrders(pool), (await storedKeys()).length]).toEqual([0, 1])
  })

  it('a 4xx that keeps its effects keeps them once', async () => {
    const orders = answering({ status: 422, effects: 'keep' })

    await send(orders)
    await send(orders)

    expect(await countOrders(pool)).toBe(1)
  })

  it('a handler that swallowed a database error commits nothing', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, async (call) => {
      await placeOrder(call)
      await call.tx.query('select 1/0').catch(() => {})
      return { status: 201 }
    })

    await expect(send(orders)).rejects.toThrow(/aborted/)
    expect([await countOrders(pool), await storedKeys()]).toEqual([0, []])
  })

  it('a handler that ends the transaction itself is found out', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, async (call) => {
      await call.tx.query('rollback')
      return { status: 201 }
    })

    await expect(send(orders, { caller: alice })).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    expect(await storedKeys()).toEqual([])
  })
})

/** A row as JSON that PostgreSQL reads back: bytes in its hexadecimal form. */
function toJson(row: Record<string, unknown>): string {
  return JSON.stringify(row, (_name, value: unknown) => {
    const bytes = value as { type?: string; data?: number[] } | null
    return typeof bytes === 'object' && bytes?.type === 'Buffer'
      ? `\\x${Buffer.from(bytes.data ?? []).toString('hex')}`
      : value
  })
}
