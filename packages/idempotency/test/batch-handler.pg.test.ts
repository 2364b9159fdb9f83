import { randomUUID } from 'node:crypto'
import { type Delivery, PermanentFailure, type ReceivedMessage } from '@malote/outbox-core'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { type BatchHandlerOptions, createBatchHandler, createInbox } from '../src/index.ts'
import { gate } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
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

const createHandler = (options: Pick<BatchHandlerOptions<pg.Pool>, 'maxSize' | 'concurrency'> = {}) =>
  createBatchHandler({ inbox, db: pool, consumer: 'balance', ...options }, async (tx, messages) => {
    await tx.query('insert into effects (id) select unnest($1::uuid[])', [messages.map(({ id }) => id)])
    if (messages.some(({ type }) => type === 'poison')) throw new PermanentFailure('poison')
  })

const effects = async () => (await pool.query<{ id: string; transaction: string }>('select * from effects')).rows
const idsOf = (deliveries: readonly Delivery[]) => deliveries.map(({ message }) => message.id).sort()

describe('a batch handler', () => {
  it('applies what is delivered together in one transaction, no larger than maxSize', async () => {
    const handle = createHandler({ maxSize: 4 })
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

  it.each([1, 3])(
    'holds back what follows a failed message of its stream, however batches are cut (%i at a time)',
    async (concurrency) => {
      const handle = createHandler({ maxSize: 1, concurrency })
      const stream = ['order.filled', 'poison', 'order.filled', 'order.filled'].map((type) =>
        delivery(type, live, randomUUID(), 'A'),
      )
      const [a1, , a3, a4] = stream as [Delivery, Delivery, Delivery, Delivery]
      const b1 = delivery('order.filled', live, randomUUID(), 'B')

      const outcomes = await Promise.allSettled([...stream, b1].map(handle))

      expect(outcomes).toMatchObject([
        { status: 'fulfilled' },
        { status: 'rejected', reason: expect.any(PermanentFailure) as Error },
        { status: 'rejected', reason: { code: 'PREDECESSOR_FAILED' } },
        { status: 'rejected', reason: { code: 'PREDECESSOR_FAILED' } },
        { status: 'fulfilled' },
      ])
      expect((await effects()).map(({ id }) => id).sort()).toEqual(idsOf([a1, b1]))
      await Promise.all([a3, a4].map(handle))
      expect((await effects()).map(({ id }) => id).sort()).toEqual(idsOf([a1, b1, a3, a4]))
    },
  )

  it('begins no message of a stream while another batch has an earlier one of it', async () => {
    const [entered, opened] = [gate(), gate()]
    const begun: string[] = []
    const handle = createBatchHandler(
      { inbox, db: pool, consumer: 'balance', maxSize: 1, concurrency: 2 },
      async (_tx, [message]) => {
        begun.push((message as ReceivedMessage).id)
        if (begun.length > 1) return
        entered.open()
        await opened.passed
      },
    )
    const [a1, a2] = [delivery('t', live, randomUUID(), 'A'), delivery('t', live, randomUUID(), 'A')]
    const both = [handle(a1), handle(a2)]
    await entered.passed
    // Whoever did not wait would have asked for its transaction in this turn of the loop.
    await pool.query('select 1')

    expect(begun).toEqual([a1.message.id])
    opened.open()
    await Promise.all(both)
    expect(begun).toEqual([a1.message.id, a2.message.id])
  })

  it('applies a failed message that is delivered again before what followed it has been refused', async () => {
    const failures = [new Error('the first time')]
    const again: Promise<void>[] = []
    const handle = createBatchHandler({ inbox, db: pool, consumer: 'balance', maxSize: 1 }, async (tx, messages) => {
      await tx.query('insert into effects (id) select unnest($1::uuid[])', [messages.map(({ id }) => id)])
      const failure = failures.pop()
      if (failure !== undefined) throw failure
    })
    const [a1, a2, other] = [
      delivery('t', live, randomUUID(), 'A'),
      delivery('t', live, randomUUID(), 'A'),
      delivery('t', live, randomUUID(), 'B'),
    ]
    const first = handle(a1).catch(() => void again.push(handle(a1)))

    // The other one keeps a2 from its turn, which is only after a1 has come again.
    const [, , followed] = await Promise.allSettled([first, handle(other), handle(a2)])
    await Promise.all(again)

    expect(followed).toMatchObject({ status: 'rejected', reason: { code: 'PREDECESSOR_FAILED' } })
    expect((await effects()).map(({ id }) => id).sort()).toEqual(idsOf([a1, other]))
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
