import { Kysely, PostgresDialect, sql } from 'kysely'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { startHeartbeat } from '../src/http/lease/renew-lease.ts'
import { createIdempotency, createInbox } from '../src/index.ts'
import { type Caller, countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.owner.query('truncate orders, malote.idempotency_keys, malote.processed_messages'))
afterEach(() => void vi.useRealTimers())
afterAll(() => database.drop())

const operation = 'buy'
const codeOf = (answer: { text: string }) => (JSON.parse(answer.text) as { code: string }).code

/** A pool whose connections are lost as `statement` is sent. */
function poolThatLoses(statement: string): pg.Pool {
  const cut = database.pool({ max: 1 })
  const connectPool = cut.connect.bind(cut) as () => Promise<pg.PoolClient>
  return Object.assign(cut, {
    connect: async () => {
      const client = await connectPool()
      client.on('error', () => {})
      const query = client.query.bind(client) as (...values: unknown[]) => unknown
      return Object.assign(client, {
        query: (text: string | { text: string }, ...rest: unknown[]) => {
          const isIt = (typeof text === 'string' ? text : text.text) === statement
          if (isIt) (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
          return query(text, ...rest)
        },
      })
    },
  })
}

describe('mutations that nothing noticed', () => {
  it('a "hold" handler that answers 5xx makes its request indeterminate, not retryable', async () => {
    let runs = 0
    const buy = idempotencyOn(pool).lease({ operation }, () => Promise.resolve({ status: 500 + ++runs }))

    const [first, retry] = [await send(buy), await send(buy)]

    expect([first.status, retry.status, codeOf(retry), runs]).toEqual([501, 409, 'indeterminate', 1])
  })

  it('the key for a foreign system is another for every step', async () => {
    const keys: string[] = []
    const buy = idempotencyOn(pool).lease({ operation }, ({ downstreamKey }) => {
      keys.push(downstreamKey('reserve'), downstreamKey('pay'), downstreamKey('pay'))
      return Promise.resolve({ status: 200 })
    })
    await send(buy)

    expect([keys[0] === keys[1], keys[1] === keys[2]]).toEqual([false, true])
  })

  it('a heartbeat that cannot reach its store gives the lease up', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const tries: number[] = []
    const lost: number[] = []
    const renew = () => {
      tries.push(performance.now())
      return Promise.reject(new Error('the store is away'))
    }
    const startMs = performance.now()
    startHeartbeat(renew, 90, () => lost.push(performance.now()))

    await vi.advanceTimersByTimeAsync(1_000)

    const sinceStart = (instants: number[]) => instants.map((ms) => ms - startMs)
    expect([sinceStart(tries), sinceStart(lost)]).toEqual([[30, 60, 90], [90]])
  })

  it('a handler that commits the transaction it was given is told so', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, async (call) => {
      const response = await placeOrder(call)
      await call.tx.query('commit')
      return response
    })

    await expect(send(orders)).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
  })

  it('so is a handler of the inbox, and one of a lease', async () => {
    const applied = createInbox().transact(pool, { consumer: 'orders', messageId: 'm-1' }, async (tx) => {
      await tx.query('commit')
    })
    await expect(applied).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })

    const buy = idempotencyOn(pool).lease({ operation }, ({ commit }) =>
      commit(async (tx) => {
        await tx.query('commit')
        return { status: 201 }
      }),
    )
    await expect(send(buy)).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
  })

  it('a connection lost while a Kysely commits is answered 503 commit-unknown', async () => {
    const kysely = new Kysely<object>({ dialect: new PostgresDialect({ pool: poolThatLoses('commit') }) })
    const orders = createIdempotency<Kysely<object>, Caller>({
      db: kysely,
      tenant: ({ tenant }) => tenant,
      subject: ({ subject }) => subject,
      pepper: 'p'.repeat(16),
    }).atomic({ operation }, async ({ tx }) => {
      await sql`insert into orders default values`.execute(tx)
      return { status: 201 }
    })

    const answer = await send(orders)

    expect([answer.status, codeOf(answer), await countOrders(pool)]).toEqual([503, 'commit-unknown', 0])
    await kysely.destroy()
  })
})

describe('a batch of the inbox', () => {
  const messages = Array.from({ length: 20 }, (_, at) => ({ messageId: `message-${String(at)}` }))
  const inbox = createInbox()

  it('is not tried one by one while the database is down', async () => {
    let connections = 0
    const down = {
      totalCount: 0,
      connect: () => {
        connections++
        return Promise.reject(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }))
      },
    }

    const results = await inbox.transactBatch(down as never, 'balance', messages, () => Promise.resolve())

    expect(results.map((result) => typeof result === 'object' && result.failed)).toMatchObject(
      messages.map(() => ({ code: 'ECONNREFUSED' })),
    )
    expect(connections).toBe(1)
  })

  it('stops when the database goes away in the middle', async () => {
    let connections = 0
    const connectPool = pool.connect.bind(pool) as () => Promise<pg.PoolClient>
    const goesAway = {
      totalCount: 0,
      connect: () =>
        ++connections <= 3 ? connectPool() : Promise.reject(Object.assign(new Error('gone'), { code: 'ECONNREFUSED' })),
    }

    const results = await inbox.transactBatch(goesAway as never, 'balance', messages, (_, fresh) =>
      fresh.length > 1 ? Promise.reject(new Error('one of them is bad')) : Promise.resolve(),
    )

    expect(results.map((result) => (typeof result === 'string' ? result : 'failed'))).toEqual([
      'processed',
      'processed',
      ...messages.slice(2).map(() => 'failed'),
    ])
    expect(connections).toBe(4)
  })

  it("does not take a handler's own network error for a database that is down", async () => {
    const results = await inbox.transactBatch(pool, 'balance', messages, (_, fresh) =>
      fresh.some(({ messageId }) => messageId === 'message-0')
        ? Promise.reject(Object.assign(new Error('the bank is away'), { code: 'ECONNREFUSED' }))
        : Promise.resolve(),
    )

    expect(results.filter((result) => result === 'processed')).toHaveLength(19)
  })
})
