import { eventually } from '@malote/outbox-core/testing'
import { scaled } from '@malote/testing/slowness'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { NoEffectError } from '../src/index.ts'
import { countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
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

const operation = 'buy'
const keyRow = async () => (await pool.query('select * from malote.idempotency_keys')).rows[0]
/** Lets the lease run out by the database's clock, without waiting for it. */
const expireLease = () =>
  pool.query(`update malote.idempotency_keys set lease_until = clock_timestamp() - interval '1 second'`)
const codeOf = (answer: { text: string }) => (JSON.parse(answer.text) as { code: string }).code

describe('a lease operation', () => {
  it('runs once and replays; effects and response commit together', async () => {
    const idem = idempotencyOn(pool)
    const buy = idem.lease({ operation }, ({ commit, request }) => commit((tx) => placeOrder({ tx, request })))

    const [first, second] = [await send(buy), await send(buy)]

    expect([first.status, second.status, second.text]).toEqual([201, 201, first.text])
    expect(second.headers['idempotency-replayed']).toBe('true')
    expect([await countOrders(pool), idem.outcomes()]).toEqual([1, ['executed', 'replayed']])
  })

  it('1. of 50 at once one runs; the others are told how long to wait', async () => {
    let runs = 0
    const opened = gate()
    const buy = idempotencyOn(pool).lease({ operation, leaseMs: 20_000 }, async () => {
      runs++
      await opened.passed
      return { status: 200, body: 'bought' }
    })

    let refusals = 0
    const answers = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const answer = await send(buy)
        if (answer.status === 409 && ++refusals === 49) opened.open()
        return answer
      }),
    )

    const refused = answers.filter(({ status }) => status === 409)
    expect(refused.every(({ headers }) => Number(headers['retry-after']) > 10)).toBe(true)
    expect([runs, refused.length]).toEqual([1, 49])
  })

  it('2. with waitMs a second request gets the response of the first', async () => {
    const [entered, opened] = [gate(), gate()]
    const buy = idempotencyOn(pool).lease({ operation, waitMs: 5_000 }, async () => {
      entered.open()
      await opened.passed
      return { status: 200, body: 'bought' }
    })
    const first = send(buy)
    await entered.passed
    const second = send(buy)
    opened.open()

    expect([(await first).text, (await second).text]).toEqual(['bought', 'bought'])
  })

  it('a 4xx undoes the effects of its commit and is stored; a 5xx is not', async () => {
    const answering = (status: number) =>
      idempotencyOn(pool).lease({ operation, onLeaseExpired: 'retry' }, ({ commit, request }) =>
        commit(async (tx) => ({ ...(await placeOrder({ tx, request })), status })),
      )

    expect([(await send(answering(402))).status, (await send(answering(200))).status]).toEqual([402, 402])
    await database.owner.query('truncate malote.idempotency_keys')
    expect([(await send(answering(503))).status, (await keyRow()).state]).toEqual([503, 'retryable'])
    expect((await send(answering(201))).status).toBe(201)
    expect(await countOrders(pool)).toBe(1)
  })

  it('a handler that proves no effect lets the next retry run at once', async () => {
    const seen: number[] = []
    const buy = idempotencyOn(pool).lease({ operation }, ({ attempt }) => {
      seen.push(attempt)
      return attempt === 1
        ? Promise.reject(new NoEffectError('the exchange is closed'))
        : Promise.resolve({ status: 200 })
    })

    const first = await send(buy)

    expect([first.status, codeOf(first), first.headers['retry-after']]).toEqual([503, 'no-effect', '1'])
    expect([(await send(buy)).status, seen]).toEqual([200, [1, 2]])
  })
})

describe('an interrupted request', () => {
  it('23. with "hold" is not run again; an operator lists it, asks the exchange, and resolves it', async () => {
    let runs = 0
    const idem = idempotencyOn(pool)
    const keys: string[] = []
    const buy = idem.lease({ operation }, async ({ downstreamKey }) => {
      runs++
      keys.push(downstreamKey('buy'))
      throw new Error('the connection broke after the exchange was called')
    })
    await expect(send(buy)).rejects.toThrow('broke')

    const held = await send(buy)
    const [key] = await idem.reconcile().list()
    expect([held.status, codeOf(held), runs, key?.state]).toEqual([409, 'indeterminate', 1, 'indeterminate'])
    expect(idem.reconcile().downstreamKey(key!, 'buy')).toBe(keys[0])
    expect(await idem.reconcile().resolve(key!, { status: 201, body: { id: 'found' } })).toBe(true)

    expect(await send(buy)).toMatchObject({ status: 201, text: '{"id":"found"}' })
    expect([runs, await idem.reconcile().list()]).toEqual([1, []])
  })

  it('23. whose operator found no effect runs again', async () => {
    let failing = true
    const idem = idempotencyOn(pool)
    const buy = idem.lease({ operation, maxAttempts: 1 }, () =>
      failing ? Promise.reject(new Error('lost')) : Promise.resolve({ status: 200 }),
    )
    await expect(send(buy)).rejects.toThrow('lost')
    const [key] = await idem.reconcile().list()
    failing = false

    expect(await idem.reconcile().retry(key!)).toBe(true)
    expect(await idem.reconcile().retry(key!)).toBe(false)
    expect((await send(buy)).status).toBe(200)
  })

  it('23. with "resume" goes on from its recovery point, with the same downstream key', async () => {
    const keys: string[] = []
    const steps: string[] = []
    const buy = idempotencyOn(pool).lease({ operation, onLeaseExpired: 'resume' }, async (call) => {
      keys.push(call.downstreamKey('charge'))
      if (call.recovery?.point !== 'charged') {
        steps.push('charge')
        await call.saveRecovery('charged', { chargeId: 'ch_1' })
        throw new Error('crash')
      }
      steps.push(`ship ${(call.recovery.data as { chargeId: string }).chargeId}`)
      return { status: 200 }
    })
    await expect(send(buy)).rejects.toThrow('crash')

    expect((await send(buy)).status).toBe(200)
    expect([steps, new Set(keys).size]).toEqual([['charge', 'ship ch_1'], 1])
    expect(keys[0]).toMatch(/^[\w-]{43}$/)
  })

  it('whose attempts are used up becomes indeterminate', async () => {
    const buy = idempotencyOn(pool).lease({ operation, onLeaseExpired: 'retry', maxAttempts: 2 }, () =>
      Promise.reject(new Error('again')),
    )

    await expect(send(buy)).rejects.toThrow('again')
    await expect(send(buy)).rejects.toThrow('again')
    expect(codeOf(await send(buy))).toBe('indeterminate')
  })
})

describe('a lost lease', () => {
  /** A first attempt stopped inside its handler while a second takes over. */
  async function takenOver(end: (call: { commit: unknown }) => Promise<{ status: number; body?: unknown }>) {
    const [entered, opened] = [gate(), gate()]
    let signal: AbortSignal | undefined
    const buy = idempotencyOn(pool).lease({ operation, onLeaseExpired: 'retry', leaseMs: 900 }, async (call) => {
      if (call.attempt > 1)
        return call.commit(async (tx) => ({ ...(await placeOrder({ tx, request: call.request })), body: 'second' }))
      signal = call.signal
      entered.open()
      await opened.passed
      return end(call)
    })
    const zombie = send(buy)
    zombie.catch(() => {}) // Judged by the test; the take-over comes first.
    await entered.passed
    // Its heartbeat may come between the end of its lease and the take-over, and then it holds the key again.
    const owner = await eventually(async () => {
      await expireLease()
      const answer = await send(buy)
      expect(answer.status).not.toBe(409)
      return answer
    })
    return { buy, owner, zombie, signal: signal as AbortSignal, release: opened.open }
  }

  it("10. a zombie that completes after a take-over changes nothing: its effects roll back, the new owner's response stays", async () => {
    const { buy, owner, zombie, release } = await takenOver((call) =>
      (
        call as { commit(work: (tx: pg.ClientBase) => Promise<{ status: number }>): Promise<{ status: number }> }
      ).commit(async (tx) => {
        await tx.query('insert into orders default values')
        return { status: 201 }
      }),
    )
    release()

    expect([owner.text, (await zombie).status]).toEqual(['second', 409])
    expect([await countOrders(pool), (await send(buy)).text]).toEqual([1, 'second'])
  })

  it('10. nor does one that only returns a response', async () => {
    const { buy, zombie, release } = await takenOver(() => Promise.resolve({ status: 500, body: 'zombie' }))
    release()
    await zombie

    expect((await send(buy)).text).toBe('second')
  })

  it("11. a zombie that throws after a take-over does not release the new owner's key", async () => {
    const { buy, zombie, release } = await takenOver(() => Promise.reject(new NoEffectError('zombie')))
    release()
    await zombie

    expect([(await send(buy)).text, (await keyRow()).state]).toEqual(['second', 'completed'])
  })

  it('12. aborts the signal of the zombie at its next heartbeat, which leaves the thief alone', async () => {
    const { signal, zombie, release } = await takenOver(() => Promise.resolve({ status: 200 }))
    const before = (await keyRow()).completed_at

    await new Promise((resolve) => (signal.aborted ? resolve(null) : signal.addEventListener('abort', resolve)))
    release()
    await zombie

    expect(signal.reason).toMatchObject({ code: 'LEASE_LOST' })
    expect((await keyRow()).completed_at).toEqual(before)
  })

  it('13. is not taken over while its holder commits: the holder completes with its fence', async () => {
    const [called, silent, entered, opened] = [gate(), gate(), gate(), gate()]
    const buy = idempotencyOn(pool).lease({ operation, onLeaseExpired: 'retry' }, async ({ commit, request }) => {
      called.open()
      await silent.passed
      return commit(async (tx) => {
        const response = await placeOrder({ tx, request })
        entered.open()
        await opened.passed
        return response
      })
    })
    const holder = send(buy)
    await called.passed
    await expireLease()
    silent.open()
    await entered.passed

    // Refused at once: waiting for the holder would be a second request's connection held for nothing.
    const refused = await withoutWaiting(pool, send(buy)).finally(opened.open)

    expect([refused.status, codeOf(refused), (await holder).status]).toEqual([409, 'in-progress', 201])
    expect([await countOrders(pool), (await keyRow()).attempt]).toEqual([1, 1])
  })

  it('a heartbeat renews it again and again, for as long as the handler takes', async () => {
    const [entered, opened] = [gate(), gate()]
    const leaseMs = scaled(900)
    const buy = idempotencyOn(pool).lease({ operation, onLeaseExpired: 'retry', leaseMs }, async ({ signal }) => {
      entered.open()
      await opened.passed
      return { status: signal.aborted ? 500 : 200 }
    })
    const first = send(buy)
    await entered.passed

    for (let renewal = 0; renewal < 2; renewal++) {
      await expireLease()
      await eventually(async () => {
        const { rows } = await pool.query(
          `select lease_until > clock_timestamp() - interval '1 second' as renewed from malote.idempotency_keys`,
        )
        expect(rows).toEqual([{ renewed: true }])
      })
    }
    opened.open()

    expect([(await first).status, (await keyRow()).attempt]).toEqual([200, 1])
  })
})
