import { type DatabaseClient, pgDatabase } from '@malote/outbox-core/pg'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { CompiledQuery, Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import {
  createIdempotency,
  type Database,
  type HandlerResponse,
  type Idempotency,
  type IdempotencyEvent,
  migrateIdempotency,
} from '../src/index.ts'
import { alice, bob, type Caller, countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { gate } from './gates.ts'

let database: TestDatabase
let pool: pg.Pool
let kysely: Kysely<object>
let calls = 0
let events: IdempotencyEvent[] = []

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  const kyselys = database.pool()
  kyselys.on('connect', (client) => client.on('error', () => {})) // Kysely does not listen to a connection that it works with.
  kysely = new Kysely<object>({ dialect: new PostgresDialect({ pool: kyselys }) })
  await migrateIdempotency(pool)
  await pool.query(createOrders)
})
beforeEach(async () => {
  await database.truncate('orders, malote.idempotency_keys')
  ;[calls, events] = [0, []]
})
afterAll(async () => {
  await kysely.destroy()
  await database.drop()
})

const operation = 'createOrder'
const outcomes = () => events.flatMap((event) => (event.type === 'request' ? [event.outcome] : []))
const codeOf = (answer: { readonly text: string }) => (JSON.parse(answer.text) as { code: string }).code
const storedKeys = async () => (await pool.query('select * from malote.idempotency_keys')).rowCount

/** What a handler may do with the client it was given. */
type Run = (text: string) => Promise<unknown>
type Begin = DatabaseClient<pg.PoolClient>['begin']

function idempotencyOf<Db extends Database>(db: Db): Idempotency<Db, Caller> {
  return createIdempotency<Db, Caller>({
    db,
    tenant: ({ tenant }) => tenant,
    subject: ({ subject }) => subject,
    pepper: 'a pepper of at least 16 bytes',
    onEvent: (event) => events.push(event),
  })
}

/** A client that sends a statement at a time. @param around - what happens when its transactions are to begin */
function oneAtATime(around: (begin: Begin) => Begin = (begin) => begin): DatabaseClient<pg.PoolClient> {
  const plain = pgDatabase(pool)
  return { ...plain, begin: (...given) => around((...same) => plain.begin(...same))(...given) }
}

const clients = {
  'a pg pool': (handle: (run: Run) => Promise<HandlerResponse>, options = {}) =>
    idempotencyOf(pool).atomic({ operation, ...options }, ({ tx }) => handle((text) => tx.query(text))),
  'a client that sends a statement at a time': (handle: (run: Run) => Promise<HandlerResponse>, options = {}) =>
    idempotencyOf(oneAtATime()).atomic({ operation, ...options }, ({ tx }) => handle((text) => tx.query(text))),
  'a Kysely': (handle: (run: Run) => Promise<HandlerResponse>, options = {}) =>
    idempotencyOf(kysely).atomic({ operation, ...options }, ({ tx }) =>
      handle((text) => tx.executeQuery(CompiledQuery.raw(text))),
    ),
}

/** Ends the transaction as `ends` says, and then the request as `how` says. */
const endingWith = (ends: string, how: number | 'throw') => async (run: Run) => {
  calls++
  await run('insert into orders default values')
  for (const text of ends.split('; ')) await run(text).catch(() => {})
  if (how === 'throw') throw new Error('after its own end')
  return { status: how }
}

const commits = ['commit', 'commit; begin', 'commit; begin; select 1 / 0']
const rollbacks = ['rollback', 'rollback; begin']
const endings = [201, 422, 429, 500, 'throw'] as const

describe.each(Object.entries(clients))('a handler that commits its transaction itself, on %s,', (_, orders) => {
  it.each(commits)('with %s, is told so whatever it then comes to, and no retry repeats what it did', async (ends) => {
    const found = await Promise.all(
      endings.map(async (how) => {
        const [operation, key] = [orders(endingWith(ends, how)), `a-key-that-comes-to-${String(how)}`]
        const first = await send(operation, { key: `"${key}"` }).catch((error: unknown) => error)
        const retry = await send(operation, { key: `"${key}"` })
        return [how, (first as { code?: string }).code, retry.status, codeOf(retry)]
      }),
    )

    expect(found).toEqual(endings.map((how) => [how, 'NOT_A_TRANSACTION', 409, 'indeterminate']))
    expect([calls, await countOrders(pool)]).toEqual([endings.length, endings.length])
    expect(outcomes()).toEqual(Array(2 * endings.length).fill('indeterminate'))
  })

  it('and then meets a conflict is told so, and is not run again', async () => {
    const operation = orders(async (run) => {
      await endingWith('commit', 201)(run)
      throw Object.assign(new Error('a conflict'), { code: '40001' })
    })

    await expect(send(operation)).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    expect([calls, await countOrders(pool)]).toEqual([1, 1])
  })

  it('without a key is told so, whatever it comes to but success', async () => {
    const failures = endings.filter((how) => how !== 201)
    const found = await Promise.allSettled(
      failures.map((how) => send(orders(endingWith('commit; begin', how), { required: false }), { key: null })),
    )

    const isTold = expect.objectContaining({ reason: expect.objectContaining({ code: 'NOT_A_TRANSACTION' }) })
    expect(found).toEqual(failures.map(() => isTold))
    expect(outcomes()).toEqual(failures.map(() => 'indeterminate'))
    expect([await countOrders(pool), await storedKeys()]).toEqual([failures.length, 0])
  })

  it('without a key, and only reads, is given no number of a transaction', async () => {
    const number = 'select pg_current_xact_id_if_assigned()::text as number'
    let numbers: unknown
    const operation = orders(
      async (run) => {
        numbers = ((await run(number)) as { rows: unknown }).rows
        return { status: 200 }
      },
      { required: false },
    )

    await send(operation, { key: null })

    expect(numbers).toEqual([{ number: null }])
  })

  it('and then hangs is told so, and no retry repeats what it did', async () => {
    const operation = orders(
      async (run) => {
        await endingWith('commit', 201)(run)
        return new Promise(() => {})
      },
      { timeoutMs: 600 },
    )

    await expect(send(operation)).rejects.toMatchObject({
      code: 'NOT_A_TRANSACTION',
      cause: expect.objectContaining({ code: 'TIMED_OUT' }),
    })
    const retry = await send(operation)

    expect([codeOf(retry), calls, await countOrders(pool)]).toEqual(['indeterminate', 1, 1])
  })

  it('and then loses its connection is told so, and no retry repeats what it did', async () => {
    const operation = orders(async (run) => {
      await endingWith('commit', 201)(run)
      await run('select pg_terminate_backend(pg_backend_pid())')
      return { status: 201 }
    })

    await expect(send(operation)).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    const retry = await send(operation)

    expect([codeOf(retry), calls, await countOrders(pool)]).toEqual(['indeterminate', 1, 1])
  })
})

describe.each(Object.entries(clients))('a handler that rolls its transaction back itself, on %s,', (_, orders) => {
  describe.each(rollbacks)('with %s', (ends) => {
    it('and throws has no effect: its error is the application’s, and the retry runs', async () => {
      const operation = orders(endingWith(ends, 'throw'))

      await expect(send(operation)).rejects.toThrow('after its own end')
      await expect(send(operation)).rejects.toThrow('after its own end')

      expect([outcomes(), calls, await countOrders(pool), await storedKeys()]).toEqual([
        ['rolled-back', 'rolled-back'],
        2,
        0,
        0,
      ])
    })

    it('and answers 201 is told so, and the retry runs', async () => {
      const operation = orders(endingWith(ends, 201))

      await expect(send(operation)).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })

      expect([outcomes(), await countOrders(pool), await storedKeys()]).toEqual([['rolled-back'], 0, 0])
    })
  })
})

describe('a batch whose handler commits its transaction itself', () => {
  it.each(endings)('and then comes to %s, is nobody’s success, and no retry repeats what it did', async (how) => {
    const orders = idempotencyOf(pool).batch({ operation }, async ({ tx, requests }) => {
      await endingWith('commit', how)((text) => tx.query(text))
      return requests.map(() => ({ status: how as number }))
    })
    const both = () => Promise.allSettled([send(orders), send(orders, { caller: bob })])

    const [first] = await both()
    const retries = await both()

    expect(first).toMatchObject({ status: 'rejected', reason: { code: 'NOT_A_TRANSACTION' } })
    expect(retries.map((one) => one.status === 'fulfilled' && codeOf(one.value))).toEqual(
      Array(2).fill('indeterminate'),
    )
    expect(await countOrders(pool)).toBe(calls)
  })
})

describe('a key whose handler has committed by itself', () => {
  const committing = endingWith('commit', 500)
  const orders = (db = oneAtATime()) =>
    idempotencyOf(db).atomic({ operation }, ({ tx }) => committing((text) => tx.query(text)))

  it('is an operator’s to resolve', async () => {
    const operator = idempotencyOf(pool).reconcile()
    await expect(send(orders())).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    const [key] = await operator.list()

    expect([await operator.resolve(key as never, { status: 201 }), (await send(orders())).status]).toEqual([true, 201])
    expect([calls, await countOrders(pool)]).toEqual([1, 1])
  })

  it('is taken from a retry that was faster: what that one did is undone', async () => {
    const [entered, opened] = [gate(), gate()]
    const faster = idempotencyOn(pool).atomic({ operation }, async (call) => {
      entered.open()
      await opened.passed
      return placeOrder(call)
    })
    let begins = 0
    let retry: ReturnType<typeof send> | undefined
    const db = oneAtATime((begin) => async (isolation, work) => {
      if (++begins === 2) {
        retry = send(faster)
        await entered.passed
      }
      return begin(isolation, work)
    })

    await expect(send(orders(db))).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    opened.open()

    const answer = await (retry as ReturnType<typeof send>)
    expect([codeOf(answer), await countOrders(pool)]).toEqual(['indeterminate', 1])
  })

  it('that cannot be marked is said to be unmarked', async () => {
    let begins = 0
    const away = Object.assign(new Error('the database is away'), { code: 'ECONNREFUSED' })
    const db = oneAtATime((begin) => (++begins > 1 ? () => Promise.reject(away) : begin))

    await expect(send(orders(db), { caller: alice })).rejects.toMatchObject({
      code: 'NOT_A_TRANSACTION',
      message: expect.stringContaining('a retry runs the handler again'),
      cause: away,
    })
    expect(outcomes()).toEqual(['indeterminate'])
  })
})
