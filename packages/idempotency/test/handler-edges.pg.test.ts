import { Kysely, PostgresDialect, sql } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import {
  type AtomicHandler,
  createIdempotency,
  createInbox,
  type HandlerResponse,
  type IdempotencyEvent,
} from '../src/index.ts'
import { countOrders, createOrders, key } from './callers.ts'
import { entryPoints } from './entry-points.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.owner.query('truncate orders, malote.idempotency_keys, malote.processed_messages'))
afterAll(() => database.drop())

const identity = { tenant: () => 'acme', subject: () => 'alice', pepper: 'a pepper of at least 16 bytes' }
const insert = 'insert into orders default values'

interface Attack {
  readonly handler: AtomicHandler<pg.PoolClient, object>
  readonly timeoutMs?: number
  readonly onEvent?: (event: IdempotencyEvent) => void
  readonly db?: pg.Pool
}

/** Sends one request, and then a retry to a handler that does what it should, each over a socket. */
async function attack(name: string, { handler, timeoutMs = 10_000, onEvent, db = pool }: Attack) {
  const [events, errors]: [IdempotencyEvent[], unknown[]] = [[], []]
  const idempotency = createIdempotency<pg.Pool, object>({
    db,
    ...identity,
    onEvent: (event) => {
      events.push(event)
      onEvent?.(event)
    },
  })
  const options = { operation: 'createOrder', waitMs: 5_000 }
  const attacked = idempotency.atomic({ ...options, timeoutMs }, handler)
  const good = idempotency.atomic(options, async ({ tx }) => ({ status: 201, body: (await tx.query(insert)).rowCount }))
  let isFirst = true
  const operation: typeof good = (request, context) => {
    if (!isFirst) return good(request, context)
    isFirst = false
    return attacked(request, context)
  }
  const server = await (entryPoints[name] as (typeof entryPoints)[string])(operation, (error) => errors.push(error))
  const send = () =>
    fetch(server.url, {
      method: 'POST',
      headers: { 'idempotency-key': key, 'content-type': 'application/json', connection: 'close' },
      body: '{}',
    })
  const answer = await send()
  const effects = await countOrders(pool)
  const [text, retry] = [await answer.text(), await send()]
  await server.close()
  return { answer, text, effects, retry, events, errors, orders: await countOrders(pool) }
}

const never = new Promise<never>(() => {})
const after = (tx: pg.ClientBase, response: HandlerResponse) => tx.query(insert).then(() => response)

describe.each(Object.keys(entryPoints))('on %s', (name) => {
  it('28. a handler that never settles is answered, keeps nothing, and loses its connection', async () => {
    const small = database.pool({ max: 1 })
    let late: pg.PoolClient | undefined
    let told: AbortSignal | undefined
    const seen = await attack(name, {
      db: small,
      timeoutMs: 100,
      handler: async ({ tx, signal }) => {
        late = tx
        told = signal
        await tx.query(insert)
        return never
      },
    })

    expect([seen.answer.status, JSON.parse(seen.text).code, seen.effects]).toEqual([503, 'timed-out', 0])
    expect([seen.retry.status, seen.orders]).toEqual([201, 1])
    expect(seen.events[0]).toMatchObject({ outcome: 'rolled-back', error: { code: 'TIMED_OUT' } })
    expect(told?.reason).toMatchObject({ code: 'TIMED_OUT' })
    await expect(late?.query(insert)).rejects.toThrow('not queryable')
  })

  it.each([
    ['ECONNREFUSED', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })],
    ['a TimeoutError', new DOMException('the bank is slow', 'TimeoutError')],
    ['a lost connection of another database', Object.assign(new Error('gone'), { code: '57P01' })],
  ])("%s of the handler's own reaches the error handler and onEvent, and blames no store", async (_, error) => {
    const seen = await attack(name, {
      handler: async ({ tx }) => {
        await tx.query(insert)
        throw error
      },
    })

    expect([seen.answer.status, seen.effects, seen.errors]).toEqual([500, 0, [error]])
    expect(seen.events[0]).toMatchObject({ outcome: 'rolled-back', error })
    expect([seen.retry.status, seen.orders]).toEqual([201, 1])
  })

  it.each([
    ['a location with characters no header carries', { status: 201, headers: { location: '/clientes/李' } }],
    ['a line break in a header', { status: 201, headers: { 'x-note': 'a\r\nset-cookie: b' } }],
    ['204 with a body', { status: 204, body: 'nothing' }],
    ['a length of its own', { status: 201, headers: { 'Content-Length': '2' }, body: 'three' }],
    ['a coding of its own', { status: 201, headers: { 'content-encoding': 'gzip' }, body: 'plain' }],
  ])('%s is refused before COMMIT, and a retry can be answered', async (_, response) => {
    const seen = await attack(name, { handler: ({ tx }) => after(tx, response) })

    expect([seen.answer.status, seen.effects, seen.retry.status, seen.orders]).toEqual([500, 0, 201, 1])
    expect(seen.errors).toMatchObject([{ code: 'INVALID_RESPONSE' }])
  })

  it('an onEvent that throws or rejects changes nothing', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const throwing = await attack(name, {
      handler: ({ tx }) => after(tx, { status: 201, body: 'made' }),
      onEvent: () => {
        throw new Error('the metrics are broken')
      },
    })

    expect([throwing.answer.status, throwing.text, throwing.retry.status]).toEqual([201, 'made', 201])
    expect(throwing.retry.headers.get('idempotency-replayed')).toBe('true')
    expect([throwing.orders, throwing.events.map((event) => 'outcome' in event && event.outcome)]).toEqual([
      1,
      ['executed', 'replayed'],
    ])
    expect(warn).toHaveBeenCalledTimes(1)
    warn.mockRestore()
  })
})

describe('on Kysely', () => {
  const open = () => {
    const kysely = new Kysely<object>({ dialect: new PostgresDialect({ pool: database.pool({ max: 1 }) }) })
    const idempotency = createIdempotency<Kysely<object>, object>({ db: kysely, ...identity })
    return { kysely, idempotency }
  }
  const request = {
    method: 'POST',
    url: '/orders',
    headers: (header: string) => (header === 'idempotency-key' ? [key] : []),
    body: new Uint8Array(),
  }

  it('28. a handler that never settles is answered, and can do nothing more', async () => {
    const { kysely, idempotency } = open()
    let late: (() => Promise<unknown>) | undefined
    const operation = idempotency.atomic({ operation: 'createOrder', timeoutMs: 100 }, async ({ tx }) => {
      late = () => sql.raw(insert).execute(tx)
      await late()
      return never
    })

    expect((await operation(request, {})).status).toBe(503)
    // The pool has one connection: this waits until it has been rolled back and given back.
    await sql`select 1`.execute(kysely)
    await expect(late?.()).rejects.toThrow('already rolled back')
    expect(await countOrders(pool)).toBe(0)
    await kysely.destroy()
  })

  it('28. PostgreSQL limits how long a transaction idles, beyond what the timer of the process allows', async () => {
    const { kysely, idempotency } = open()
    const idle = "select current_setting('idle_in_transaction_session_timeout') as idle"
    const limits: unknown[] = []
    const onKysely = idempotency.atomic({ operation: 'createOrder', timeoutMs: 2_000 }, async ({ tx }) => {
      limits.push((await sql.raw<{ idle: string }>(idle).execute(tx)).rows[0]?.idle)
      return { status: 401 }
    })
    const onPool = createIdempotency<pg.Pool, object>({ db: pool, ...identity }).atomic(
      { operation: 'createOrder', timeoutMs: 2_000 },
      async ({ tx }) => {
        limits.push((await tx.query(idle)).rows[0].idle)
        return { status: 401 }
      },
    )
    await onKysely(request, {})
    await onPool(request, {})

    expect(limits).toEqual(['62s', '3s'])
    await kysely.destroy()
  })
})

describe('an inbox whose onEvent throws', () => {
  it('applies and acknowledges its messages all the same', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const inbox = createInbox({
      onEvent: () => {
        throw new Error('the metrics are broken')
      },
    })
    const message = { consumer: 'balance', messageId: 'm-1' }
    const apply = () => inbox.transact(pool, message, (tx) => tx.query(insert).then(() => {}))

    expect([await apply(), await apply(), await countOrders(pool)]).toEqual(['processed', 'duplicate', 1])
    warn.mockRestore()
  })
})
