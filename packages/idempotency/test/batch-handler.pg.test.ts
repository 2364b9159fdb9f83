import { randomUUID } from 'node:crypto'
import { type Delivery, PermanentFailure, type ReceivedMessage } from '@malote/outbox-core'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createBatchHandler, createInbox, migrateIdempotency } from '../src/index.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrateIdempotency(pool)
  await pool.query('create table effects (id uuid not null, transaction xid8 not null default pg_current_xact_id())')
})
beforeEach(() => database.truncate('effects, malote.processed_messages'))
afterAll(() => database.drop())

const inbox = createInbox()
const live = new AbortController().signal

function delivery(
  type = 'order.filled',
  signal = live,
  id: string = randomUUID(),
  orderingKey: string | null = null,
): Delivery {
  const message: ReceivedMessage = {
    id,
    topic: 'orders',
    type,
    orderingKey,
    headers: {},
    body: new Uint8Array(),
    contentType: 'application/json',
    createdAt: new Date(),
    json: () => null,
  }
  return { message, attempt: 1, signal }
}

const createHandler = (maxSize?: number) =>
  createBatchHandler(
    { inbox, db: pool, consumer: 'balance', ...(maxSize === undefined ? {} : { maxSize }) },
    async (tx, messages) => {
      await tx.query('insert into effects (id) select unnest($1::uuid[])', [messages.map(({ id }) => id)])
      if (messages.some(({ type }) => type === 'poison')) throw new PermanentFailure('poison')
    },
  )

const effects = async () => (await pool.query<{ id: string; transaction: string }>('select * from effects')).rows
const idsOf = (deliveries: readonly Delivery[]) => deliveries.map(({ message }) => message.id).sort()

describe('a batch handler', () => {
  it('applies what is delivered together in one transaction, no larger than maxSize', async () => {
    const handle = createHandler(4)
    const deliveries = Array.from({ length: 10 }, () => delivery())

    await Promise.all(deliveries.map(handle))

    const rows = await effects()
    const sizes = [...Map.groupBy(rows, (row) => row.transaction).values()].map((group) => group.length)
    expect(rows.map(({ id }) => id).sort()).toEqual(idsOf(deliveries))
    expect(sizes.sort((a, b) => a - b)).toEqual([2, 4, 4])
  })

  it('applies each message once, also when a batch holds old and new ones and two of one message', async () => {
    const handle = createHandler()
    const [first, second, third] = [delivery(), delivery(), delivery()]
    await handle(first)

    await Promise.all([first, second, second, third].map(handle))

    expect((await effects()).map(({ id }) => id).sort()).toEqual(idsOf([first, second, third]))
  })

  it('fails a bad message alone, with its own error, and applies its neighbours', async () => {
    const handle = createHandler()
    const deliveries = [delivery(), delivery('poison'), delivery()]

    const outcomes = await Promise.allSettled(deliveries.map(handle))

    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(outcomes[1]).toMatchObject({ reason: expect.any(PermanentFailure) })
    expect((await effects()).map(({ id }) => id).sort()).toEqual(
      idsOf([deliveries[0] as Delivery, deliveries[2] as Delivery]),
    )
  })

  it('takes a whole stream in order, and leaves what follows a bad message of it for later', async () => {
    const handle = createHandler()
    const of = (key: string, type?: string) => delivery(type, live, randomUUID(), key)
    const [a1, bad, b1, a3] = [of('A'), of('A', 'poison'), of('B'), of('A')]

    const outcomes = await Promise.allSettled([a1, bad, b1, a3].map(handle))

    expect(outcomes).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected', reason: expect.any(PermanentFailure) as Error },
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'PREDECESSOR_FAILED' } },
    ])
    expect((await effects()).map(({ id }) => id).sort()).toEqual(idsOf([a1, b1]))
    await handle(a3)
    expect((await effects()).map(({ id }) => id)).toContain(a3.message.id)
  })

  it('holds back what follows a message of its stream that was given up', async () => {
    const handle = createHandler()
    const reason = new Error('no longer held')
    const given = delivery('order.filled', AbortSignal.abort(reason), randomUUID(), 'A')
    const next = delivery('order.filled', live, randomUUID(), 'A')

    const outcomes = await Promise.allSettled([handle(given), handle(next)])

    expect(outcomes).toMatchObject([
      { status: 'rejected', reason },
      { status: 'rejected', reason: { code: 'PREDECESSOR_FAILED' } },
    ])
    expect(await effects()).toEqual([])
  })

  it('takes two keyless messages, and one key of two topics, for nobody’s successors', async () => {
    const handle = createHandler()
    const elsewhere = (one: Delivery): Delivery => ({ ...one, message: { ...one.message, topic: 'fills' } })
    const bad = delivery('poison', live, randomUUID(), 'A')
    const others = [delivery('poison'), delivery(), elsewhere(delivery('order.filled', live, randomUUID(), 'A'))]

    const outcomes = await Promise.allSettled([bad, ...others].map(handle))

    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled'])
  })

  it('leaves out a message whose consumer gave it up while it waited', async () => {
    const handle = createHandler()
    const reason = new Error('no longer held')
    const [kept, given] = [delivery(), delivery('order.filled', AbortSignal.abort(reason))]

    const outcomes = await Promise.allSettled([handle(kept), handle(given)])
    const alone = await Promise.allSettled([handle(given)])

    expect(outcomes).toEqual([
      { status: 'fulfilled', value: undefined },
      { status: 'rejected', reason },
    ])
    expect(alone).toEqual([{ status: 'rejected', reason }])
    expect((await effects()).map(({ id }) => id)).toEqual([kept.message.id])
  })

  it('resolves only after its commit', async () => {
    const handle = createHandler()
    const one = delivery()

    await handle(one)

    expect((await effects()).map(({ id }) => id)).toEqual([one.message.id])
  })

  it('refuses a database that is a transaction already', () => {
    expect(() =>
      createBatchHandler({ inbox, db: {} as pg.Pool, consumer: 'balance' }, () => Promise.resolve()),
    ).toThrow(/option "db"/)
  })
})
