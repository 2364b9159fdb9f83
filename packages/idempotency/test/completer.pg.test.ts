import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { type LeaseCall, NoEffectError } from '../src/index.ts'
import { type Caller, countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { gate } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.owner.query('truncate orders, malote.idempotency_keys restart identity'))
afterAll(() => database.drop())

const operation = 'buy'
/** Lets the lease run out by the database's clock, without waiting for it. */
const expireLease = () =>
  pool.query(`update malote.idempotency_keys set lease_until = clock_timestamp() - interval '1 second'`)
const stateOf = async () =>
  (await pool.query('select state, attempt from malote.idempotency_keys')).rows as { state: string; attempt: number }[]

/** A request whose handler has saved its recovery and hangs; its lease has run out. @returns what lets its handler go on */
async function abandon(
  idempotency: ReturnType<typeof idempotencyOn>,
  save = true,
): Promise<{ end: () => Promise<void> }> {
  const [entered, opened] = [gate(), gate()]
  const buy = idempotency.lease({ operation, onLeaseExpired: 'resume', leaseMs: 3_600_000 }, async (call) => {
    if (save) await call.saveRecovery('charged', { charge: call.downstreamKey('charge') })
    entered.open()
    await opened.passed
    return { status: 201, body: 'too late' }
  })
  const sent = send(buy)
  await entered.passed
  await expireLease()
  return {
    end: async () => {
      opened.open()
      await sent
    },
  }
}

/** The same operation, as a client that comes back meets it. */
const retry = (idempotency: ReturnType<typeof idempotencyOn>) =>
  send(
    idempotency.lease({ operation, onLeaseExpired: 'resume' }, () =>
      Promise.reject(new Error('nothing is left to be done')),
    ),
  )

const commitOrder = ({ commit }: Pick<LeaseCall<pg.PoolClient, unknown>, 'commit'>) =>
  commit((tx) => placeOrder({ tx, request: { tenant: 'acme', subject: 'alice' } satisfies Caller }))

describe('a completer', () => {
  it('finishes what a request has begun whose holder is gone; its client gets the answer when it comes back', async () => {
    const idempotency = idempotencyOn(pool)
    const abandoned = await abandon(idempotency)
    const seen: unknown[] = []
    const completer = idempotency.completer({ operation }, (call) => {
      seen.push([call.attempt, call.recovery, call.downstreamKey('charge')])
      return commitOrder(call)
    })

    const report = await completer.runOnce()

    expect([report, await countOrders(pool)]).toEqual([{ completed: 1, failed: 0 }, 1])
    const [attempt, recovery, downstreamKey] = seen[0] as [number, { data: { charge: string } }, string]
    expect([attempt, recovery.data.charge]).toEqual([2, downstreamKey])
    expect(await retry(idempotency)).toMatchObject({ status: 201, headers: { 'idempotency-replayed': 'true' } })
    await abandoned.end()
    expect([await countOrders(pool), await completer.runOnce()]).toEqual([1, { completed: 0, failed: 0 }])
  })

  it('goes on at once from what a handler threw at, without waiting for the lease', async () => {
    const idempotency = idempotencyOn(pool)
    const buy = idempotency.lease({ operation, onLeaseExpired: 'resume', leaseMs: 3_600_000 }, async (call) => {
      await call.saveRecovery('charged')
      throw new Error('the exchange did not answer')
    })
    await expect(send(buy)).rejects.toThrow('did not answer')

    const report = await idempotency
      .completer({ operation }, () => Promise.resolve({ status: 200, body: 'done' }))
      .runOnce()

    expect(report).toEqual({ completed: 1, failed: 0 })
    expect(await retry(idempotency)).toMatchObject({ status: 200, text: 'done' })
  })

  it.each([
    ['throws', () => Promise.reject(new Error('still away'))],
    ['had no effect', () => Promise.reject(new NoEffectError('still closed'))],
    ['answers with a 5xx', () => Promise.resolve({ status: 502 })],
  ])('that %s leaves the key to the next run, and in the end to an operator', async (_, failing) => {
    const idempotency = idempotencyOn(pool)
    const abandoned = await abandon(idempotency)
    const completer = idempotency.completer({ operation, maxAttempts: 3, leaseMs: 3_600_000 }, failing)

    expect([await completer.runOnce(), await stateOf()]).toEqual([
      { completed: 0, failed: 1 },
      [{ state: 'in_progress', attempt: 2 }],
    ])
    // Its lease has not run out: nobody hammers what is away.
    expect(await completer.runOnce()).toEqual({ completed: 0, failed: 0 })
    await expireLease()
    expect(await completer.runOnce()).toEqual({ completed: 0, failed: 1 })
    await expireLease()
    await completer.runOnce()

    expect(await stateOf()).toEqual([{ state: 'indeterminate', attempt: 3 }])
    expect(idempotency.outcomes()).toEqual(['rolled-back', 'rolled-back'])
    await abandoned.end()
  })

  it('leaves alone what is held, what another operation began, and what saved nothing', async () => {
    const idempotency = idempotencyOn(pool)
    let calls = 0
    const completer = (name: string) =>
      idempotency.completer({ operation: name }, () => {
        calls++
        return Promise.resolve({ status: 200 })
      })

    const silent = await abandon(idempotency, false)
    await completer(operation).runOnce()
    expect(await stateOf()).toEqual([{ state: 'in_progress', attempt: 1 }])
    await silent.end()
    await database.owner.query('truncate malote.idempotency_keys')

    const abandoned = await abandon(idempotency)
    await completer('sell').runOnce()
    await pool.query(`update malote.idempotency_keys set lease_until = clock_timestamp() + interval '1 hour'`)
    await completer(operation).runOnce()

    expect([calls, await stateOf()]).toEqual([0, [{ state: 'in_progress', attempt: 1 }]])
    await abandoned.end()
  })

  it('of several at once, one finishes each key', async () => {
    const idempotency = idempotencyOn(pool)
    const abandoned = await abandon(idempotency)
    const completers = Array.from({ length: 5 }, () => idempotency.completer({ operation }, commitOrder))

    const reports = await Promise.all(completers.map((completer) => completer.runOnce()))

    expect([reports.reduce((sum, { completed }) => sum + completed, 0), await countOrders(pool)]).toEqual([1, 1])
    await abandoned.end()
  })
})
