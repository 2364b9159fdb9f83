import { type DatabaseClient, pgDatabase } from '@malote/outbox-core/pg'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, inject, it } from 'vitest'
import { type AtomicHandler, createIdempotency, type IdempotencyEvent, type IdempotencyOptions } from '../src/index.ts'
import { type Caller, countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'
import { gate } from './gates.ts'

/** What happens when the transaction of this number is to begin: 1 is the handler's, 2 stores the response. */
type Begin = DatabaseClient<pg.PoolClient>['begin']

let database: ConsumerDatabase
let pool: pg.Pool
let begins = 0
let calls = 0
let events: IdempotencyEvent[] = []
let spoil: Record<number, (begin: Begin) => Begin> = {}

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
  await pool.query('create table accounts (name text primary key, balance bigint not null)')
})
beforeEach(async () => {
  await database.truncate('orders, accounts, malote.idempotency_keys')
  ;[begins, calls, events, spoil] = [0, 0, [], {}]
})
afterAll(() => database.drop())

const operation = 'createOrder'
const failure = (code: string): Error => Object.assign(new Error(code), { code })
const codeOf = (answer: { readonly text: string }) => (JSON.parse(answer.text) as { code: string }).code
const outcomes = () => events.flatMap((event) => (event.type === 'request' ? [event.outcome] : []))
const storedKeys = async () => (await pool.query('select * from malote.idempotency_keys')).rowCount

/** On a client that sends a statement at a time, and whose `begin` is its own. */
function onClient(options: Partial<IdempotencyOptions<DatabaseClient<pg.PoolClient>, Caller>> = {}) {
  const plain = pgDatabase(pool)
  const db: DatabaseClient<pg.PoolClient> = {
    ...plain,
    begin: (isolation, work) =>
      (spoil[++begins] ?? ((begin) => begin))((...given) => plain.begin(...given))(isolation, work),
  }
  return createIdempotency<typeof db, Caller>({
    db,
    tenant: ({ tenant }) => tenant,
    subject: ({ subject }) => subject,
    pepper: 'a pepper of at least 16 bytes',
    onEvent: (event) => events.push(event),
    ...options,
  })
}

const refuse: AtomicHandler<pg.PoolClient, Caller> = async (call) => {
  calls++
  await placeOrder(call)
  return { status: 422, body: { call: calls } }
}
const before =
  (what: () => Promise<unknown>) =>
  (begin: Begin): Begin =>
  async (isolation, work) => {
    await what()
    return begin(isolation, work)
  }

it('its response is stored in a second transaction, and reported once', async () => {
  const orders = onClient().atomic({ operation }, refuse)

  const [first, second] = [await send(orders), await send(orders)]

  expect([first.status, first.text, second.status, second.text]).toEqual([422, '{"call":1}', 422, '{"call":1}'])
  expect([begins, calls, outcomes(), await countOrders(pool)]).toEqual([3, 1, ['executed', 'replayed'], 0])
})

it('without a key there is nothing to store, and no second transaction', async () => {
  const orders = onClient().atomic({ operation, required: false }, refuse)

  const answer = await send(orders, { key: null })

  expect([answer.status, begins, calls, outcomes()]).toEqual([422, 1, 1, ['executed']])
  expect([await countOrders(pool), await storedKeys()]).toEqual([0, 0])
})

it('a key that another request holds meanwhile is busy', async () => {
  const [entered, opened] = [gate(), gate()]
  const others = idempotencyOn(pool).atomic({ operation }, async (call) => {
    entered.open()
    await opened.passed
    return placeOrder(call)
  })
  let other: ReturnType<typeof send> | undefined
  spoil[2] = before(() => {
    other = send(others)
    return entered.passed
  })

  const answer = await send(onClient().atomic({ operation }, refuse)).finally(opened.open)

  expect([answer.status, codeOf(answer), calls]).toEqual([409, 'in-progress', 1])
  expect([(await other)?.status, await countOrders(pool)]).toEqual([201, 1])
})

it('with waitMs it waits for the other, and stores its response when that one failed: its handler runs once', async () => {
  const [entered, opened] = [gate(), gate()]
  const others = idempotencyOn(pool).atomic({ operation }, async (call) => {
    await placeOrder(call)
    entered.open()
    await opened.passed
    throw new Error('the other failed')
  })
  let other: Promise<unknown> = Promise.resolve()
  spoil[2] = before(() => {
    other = send(others).catch(String)
    return entered.passed
  })
  spoil[3] = before(async () => {
    opened.open()
    expect(await other).toContain('the other failed')
  })
  const orders = onClient().atomic({ operation, waitMs: 600_000, retryConflicts: false }, refuse)

  const [first, second] = [await send(orders), await send(orders)]

  expect([first.status, first.text, second.text, calls]).toEqual([422, '{"call":1}', '{"call":1}', 1])
  expect([await countOrders(pool), await storedKeys()]).toEqual([0, 1])
})

it('another payload that took the key meanwhile is answered 422 key-reused', async () => {
  spoil[2] = before(() => send(idempotencyOn(pool).atomic({ operation }, placeOrder), { body: { amount: 1 } }))

  const answer = await send(onClient().atomic({ operation }, refuse))

  expect([answer.status, codeOf(answer), calls, await countOrders(pool)]).toEqual([422, 'key-reused', 1, 1])
})

it('the keys of a tenant are counted once', async () => {
  const orders = onClient({ maxKeysPerTenant: 1 }).atomic({ operation }, refuse)

  expect([(await send(orders)).text, (await send(orders)).text, await storedKeys()]).toEqual([
    '{"call":1}',
    '{"call":1}',
    1,
  ])
})

it('a tenant that has reached its limit meanwhile is told so, and nothing is kept', async () => {
  spoil[2] = before(() => send(idempotencyOn(pool).atomic({ operation }, placeOrder), { key: 'k'.repeat(20) }))

  const answer = await send(onClient({ maxKeysPerTenant: 1 }).atomic({ operation }, refuse))

  expect([codeOf(answer), outcomes(), await countOrders(pool), await storedKeys()]).toEqual([
    'too-many-keys',
    ['refused'],
    1,
    1,
  ])
})

it('a database that is away for the second leaves nothing: the retry is the first', async () => {
  spoil[2] = before(() => Promise.reject(failure('ECONNREFUSED')))
  const orders = onClient().atomic({ operation }, refuse)

  const lost = await send(orders)
  expect([lost.status, codeOf(lost), await countOrders(pool), await storedKeys()]).toEqual([
    503,
    'store-unavailable',
    0,
    0,
  ])
  expect([(await send(orders)).text, await storedKeys()]).toEqual(['{"call":2}', 1])
})

it.each(['committed', 'rolled back'])('a second COMMIT of which nobody knows, %s, had no effect', async (fate) => {
  spoil[2] = (begin) => async (isolation, work) => {
    const result = await begin(isolation, async (tx) => {
      const done = await work(tx)
      if (fate === 'rolled back') throw failure('ECONNRESET')
      return done
    })
    if (fate === 'committed') throw failure('ECONNRESET')
    return result
  }
  const orders = onClient().atomic({ operation }, refuse)

  const [lost, again] = [await send(orders), await send(orders)]

  expect([lost.status, codeOf(lost), outcomes()[0]]).toEqual([503, 'no-effect', 'rolled-back'])
  expect([again.text, await countOrders(pool)]).toEqual([fate === 'committed' ? '{"call":1}' : '{"call":2}', 0])
})

it('a conflict of the second is retried, also where the handler can run only once', async () => {
  spoil[2] = before(() => Promise.reject(failure('40001')))

  const answer = await send(onClient().atomic({ operation, retryConflicts: false }, refuse))

  expect([answer.status, begins, calls]).toEqual([422, 3, 1])
})

it.each(['commit', 'commit; begin'])(
  'a handler that ends its transaction with %s cannot be undone, and is told so',
  async (end) => {
    const orders = onClient().atomic({ operation }, async (call) => {
      await placeOrder(call)
      await call.tx.query(end)
      return { status: 422 }
    })

    await expect(send(orders)).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    expect(outcomes()).toEqual(['indeterminate'])
  },
)

it('a handler that answers a statement that failed is undone too', async () => {
  const orders = onClient().atomic({ operation }, async (call) => {
    await placeOrder(call)
    await call.tx.query('select 1 / 0').catch(() => {})
    return { status: 409 }
  })

  expect([(await send(orders)).status, await countOrders(pool), await storedKeys()]).toEqual([409, 0, 1])
})

// PostgreSQL lets one of three serializable transactions fail only if the others commit: a refusal that was rolled back would rest on
// balances that no order of the transactions explains.
it('a serializable refusal commits with what it has read', async () => {
  await pool.query(`insert into accounts values ('current', 0), ('savings', 0)`)
  const fee = await pool.connect()
  await fee.query('begin isolation level serializable; select * from accounts')
  await pool.query(
    `begin isolation level serializable; update accounts set balance = 20 where name = 'savings'; commit`,
  )
  const orders = onClient().atomic({ operation, isolation: 'serializable' }, async ({ tx }) => {
    calls++
    const { rows } = await tx.query<{ balance: string }>('select balance from accounts order by name')
    return { status: 422, body: rows.map(({ balance }) => balance) }
  })

  const answer = await send(orders)
  const charged = fee.query(`update accounts set balance = -11 where name = 'current'; commit`)

  await expect(charged).rejects.toMatchObject({ code: '40001' })
  expect([answer.text, begins, calls, await storedKeys()]).toEqual(['["0","20"]', 1, 1, 1])
  await fee.query('rollback')
  fee.release()
})
