import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { type IdempotencyOptions } from '../src/index.ts'
import { alice, type Caller, countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { gate, withoutWaiting } from './gates.ts'
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

const [old, young] = ['the pepper of the last years', 'the pepper of the next years']
/** What a process is configured with, in the order of a rotation. The two in the middle are one fleet for a while. */
const before = { pepper: old }
const firstRollOut = { pepper: { current: old, accepted: [young] } }
const secondRollOut = { pepper: { current: young, accepted: [old] } }
const after = { pepper: young }
/** Whose transaction comes first decides nothing: neither may the pepper it writes under. */
const bothOrders = [
  ['the old pepper, then the new', firstRollOut, secondRollOut],
  ['the new pepper, then the old', secondRollOut, firstRollOut],
] as const

type Change = Partial<IdempotencyOptions<pg.Pool, Caller>>
const operation = 'createOrder'
const ordersOf = (change: Change, db = pool) => idempotencyOn(db, change).atomic({ operation }, placeOrder)
const rows = async () => (await pool.query('select * from malote.idempotency_keys')).rows
const isReplay = (answer: { headers: object }) => 'idempotency-replayed' in answer.headers

describe('a response stored under one pepper', () => {
  it('is replayed through both roll-outs, and one of the second roll-out after it too', async () => {
    const first = await send(ordersOf(before))
    const later = { key: 'a-key-of-the-second-roll-out' }

    const retries = [await send(ordersOf(firstRollOut)), await send(ordersOf(secondRollOut))]
    const second = await send(ordersOf(secondRollOut), later)
    const laterRetries = [await send(ordersOf(firstRollOut), later), await send(ordersOf(after), later)]

    expect([...retries, ...laterRetries].every(isReplay)).toBe(true)
    expect([...retries, ...laterRetries].map(({ text }) => text)).toEqual([
      first.text,
      first.text,
      second.text,
      second.text,
    ])
    expect([await countOrders(pool), (await rows()).length]).toEqual([2, 2])
  })

  it.each(bothOrders)('is opened, and a mismatch refused, by the other: %s', async (_, one, other) => {
    const encryption = { keyId: 'a', keys: { a: randomBytes(32) } }
    const first = await send(ordersOf({ ...one, encryption }))

    expect((await send(ordersOf({ ...other, encryption }))).text).toBe(first.text)
    expect((await send(ordersOf(other), { body: { amount: 2 } })).status).toBe(422)
    expect(await countOrders(pool)).toBe(1)
  })

  it.each(bothOrders)('is absent to the other when it has expired: %s', async (_, one, other) => {
    await send(ordersOf(one))
    await pool.query(`update malote.idempotency_keys set expires_at = now() - interval '1 second'`)

    const again = await send(ordersOf(other))

    expect([again.status, isReplay(again), isReplay(await send(ordersOf(one)))]).toEqual([201, false, true])
    expect([await countOrders(pool), (await rows()).length]).toEqual([2, 1])
  })

  it('counts once for the cap of its tenant, and is forgotten with its subject', async () => {
    const capped = { maxKeysPerTenant: 2 }
    await send(ordersOf({ ...firstRollOut, ...capped }))
    const second = idempotencyOn(pool, { ...secondRollOut, ...capped })
    const orders = second.atomic({ operation }, placeOrder)
    const answers = [await send(orders, { key: 'a-second-key-0123' }), await send(orders, { key: 'a-third-key-01234' })]

    expect(answers.map(({ status }) => status)).toEqual([201, 429])
    expect(await second.forgetSubject(alice.tenant, alice.subject)).toEqual({ forgotten: 2, unfinished: 0 })
  })

  it('is run again by a process that was never told of the pepper: what the first roll-out is for', async () => {
    await send(ordersOf(secondRollOut))

    expect(isReplay(await send(ordersOf(before)))).toBe(false)
    expect(await countOrders(pool)).toBe(2)
  })
})

describe('two fleets at work at once', () => {
  it('50 requests with one key make one order', async () => {
    const fleets = [ordersOf(firstRollOut), ordersOf(secondRollOut)]
    for (let round = 0; round < 5; round++) {
      const key = `a-key-of-round-${String(round)}`
      const answers = await Promise.all(Array.from({ length: 50 }, (_, at) => send(fleets[at % 2]!, { key })))

      expect(answers.every(({ status }) => status === 201 || status === 409)).toBe(true)
      expect(answers.filter((answer) => answer.status === 201 && !isReplay(answer))).toHaveLength(1)
    }
    expect([await countOrders(pool), (await rows()).length]).toEqual([5, 5])
  })

  it.each(bothOrders)(
    'a request in flight is told 409 at once, and what it undoes is free: %s',
    async (_, one, other) => {
      const [entered, opened] = [gate(), gate()]
      let failing = true
      const stopped = idempotencyOn(pool, one).atomic({ operation }, async (call) => {
        const response = await placeOrder(call)
        entered.open()
        await opened.passed
        return failing ? { status: 503 } : response
      })
      const first = send(stopped)
      await entered.passed

      const during = await withoutWaiting(pool, send(ordersOf(other))).finally(opened.open)
      await first
      failing = false

      expect([during.status, (await send(ordersOf(other))).status]).toEqual([409, 201])
      expect(isReplay(await send(stopped))).toBe(true)
      expect(await countOrders(pool)).toBe(1)
    },
  )

  it.each([1, 2, 3, 4])(
    'a request in flight that knows only the old pepper is seen by the first roll-out (key %i)',
    async (nth) => {
      const key = `a-key-of-either-order-${String(nth)}`
      const [entered, opened] = [gate(), gate()]
      const stopped = idempotencyOn(pool, before).atomic({ operation }, async (call) => {
        entered.open()
        await opened.passed
        return placeOrder(call)
      })
      const first = send(stopped, { key })
      await entered.passed

      const during = await withoutWaiting(pool, send(ordersOf(firstRollOut), { key })).finally(opened.open)

      expect([during.status, (await first).status, await countOrders(pool)]).toEqual([409, 201, 1])
    },
  )

  it.each(bothOrders)('a snapshot older than the other commit hides nothing: %s', async (_, one, other) => {
    const [begun, opened] = [gate(), gate()]
    const late = afterSnapshot(async () => {
      begun.open()
      await opened.passed
    })
    const isolation = 'repeatable read' as const
    const second = send(idempotencyOn(late, other).atomic({ operation, isolation }, placeOrder))
    await begun.passed
    const first = await send(idempotencyOn(pool, one).atomic({ operation, isolation }, placeOrder))
    opened.open()

    expect([isReplay(await second), (await second).text]).toEqual([true, first.text])
    expect(await countOrders(pool)).toBe(1)
  })
})

describe('a lease under one pepper', () => {
  it.each(bothOrders)('is taken over by the other with its recovery and downstream key: %s', async (_, one, other) => {
    const [entered, opened] = [gate(), gate()]
    const keys: string[] = []
    const buyOf = (change: Change) =>
      idempotencyOn(pool, change).lease({ operation, onLeaseExpired: 'resume' }, async (call) => {
        keys.push(call.downstreamKey('buy'))
        if (call.attempt > 1) return { status: 201, body: call.recovery?.point }
        await call.saveRecovery('charged')
        entered.open()
        await opened.passed
        return { status: 500, body: 'zombie' }
      })
    const zombie = send(buyOf(one))
    await entered.passed
    expect((await send(buyOf(other))).status).toBe(409)
    await pool.query(`update malote.idempotency_keys set lease_until = now() - interval '1 second'`)

    const owner = await send(buyOf(other))
    opened.open()
    await zombie

    expect([owner.text, (await send(buyOf(one))).text, (await rows()).length]).toEqual(['charged', 'charged', 1])
    expect([keys.length, new Set(keys).size]).toEqual([2, 1])
  })

  it('50 requests over both fleets run once', async () => {
    let runs = 0
    const opened = gate()
    const fleets = [firstRollOut, secondRollOut].map((change) =>
      idempotencyOn(pool, change).lease({ operation }, async () => {
        runs++
        await opened.passed
        return { status: 200 }
      }),
    )
    let refusals = 0
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, at) => {
        const answer = await send(fleets[at % 2]!)
        if (answer.status === 409 && ++refusals === 49) opened.open()
        return answer.status
      }),
    )

    expect([runs, answers.filter((status) => status === 200).length, (await rows()).length]).toEqual([1, 1, 1])
  })

  it('is decided by an operator of any fleet, who can ask with the key the handler gave', async () => {
    const keys: string[] = []
    const buy = idempotencyOn(pool, before).lease({ operation }, ({ downstreamKey }) => {
      keys.push(downstreamKey('buy'))
      return Promise.reject(new Error('lost'))
    })
    await expect(send(buy)).rejects.toThrow('lost')
    const operator = idempotencyOn(pool, secondRollOut).reconcile()

    const [unresolved] = await operator.list()
    expect(operator.downstreamKey(unresolved!, 'buy')).toBe(keys[0])
    expect(await operator.resolve(unresolved!, { status: 201, body: 'found' })).toBe(true)

    expect((await send(idempotencyOn(pool, secondRollOut).lease({ operation }, () => Promise.reject()))).text).toBe(
      'found',
    )
  })
})

/** A pool whose first transaction takes its snapshot and then waits for `pass`. */
function afterSnapshot(pass: () => Promise<void>): pg.Pool {
  const single = database.pool({ max: 1 })
  const connectPool = single.connect.bind(single) as () => Promise<pg.PoolClient>
  let isFirst = true
  return Object.assign(single, {
    connect: async () => {
      const client = await connectPool()
      const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
      return Object.assign(Object.create(client) as pg.PoolClient, {
        release: (destroy?: boolean) => client.release(destroy),
        query: async (text: string, values?: unknown[]) => {
          const [begin, ...rest] = text.split('; ')
          if (!begin?.startsWith('begin') || !isFirst) return query(text, values)
          isFirst = false
          const begun = await severalResults(query(`${begin}; select 1`))
          await pass()
          return [begun[0], ...(await severalResults(query(rest.join('; '))))] as never
        },
      })
    },
  })
}

/** What pg answers for a text of several statements; its types know of one only. */
async function severalResults(results: Promise<pg.QueryResult>): Promise<pg.QueryResult[]> {
  return [await results].flat()
}
