import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { batchOn, brief, createNotes, keyOf } from './batch-callers.ts'
import { alice, countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { gate, withoutWaiting } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(`${createOrders}; ${createNotes}`)
})
beforeEach(() => database.truncate('orders, notes, malote.idempotency_keys'))
afterAll(() => database.drop())

const operation = 'createOrder'
const codeOf = (answer: { text: string }) => (JSON.parse(answer.text) as { code: string }).code

/** A lease request whose process has gone silent: its handler goes on when it is told to. */
async function abandoned(sent: Parameters<typeof send>[1] = {}) {
  const [entered, opened] = [gate(), gate()]
  const lease = idempotencyOn(pool).lease({ operation, onLeaseExpired: 'retry' }, async (call) => {
    entered.open()
    await opened.passed
    return call.commit((tx) => placeOrder({ tx, request: call.request }))
  })
  const answer = send(lease, sent)
  await entered.passed
  await pool.query(`update malote.idempotency_keys set lease_until = clock_timestamp() - interval '1 second'`)
  return { answer, goOn: opened.open }
}

describe('an atomic request that finds its key abandoned in lease mode', () => {
  it('is told that nobody knows, as the lease operation would be, and an operator can decide', async () => {
    const { answer, goOn } = await abandoned()
    const idem = idempotencyOn(pool)
    const orders = idem.atomic({ operation }, placeOrder)

    expect(codeOf(await send(orders))).toBe('indeterminate')
    const operator = idem.reconcile()
    for (const key of await operator.list()) await operator.retry(key)
    expect((await send(orders)).status).toBe(201)

    goOn()
    await answer
    expect(await countOrders(pool)).toBe(1)
  })

  it('goes on when it is told to, and what the holder still does is refused', async () => {
    const { answer, goOn } = await abandoned()
    const orders = idempotencyOn(pool).atomic({ operation, onLeaseExpired: 'retry' }, placeOrder)

    expect((await send(orders)).status).toBe(201)
    goOn()

    expect([codeOf(await answer), await countOrders(pool)]).toEqual(['in-progress', 1])
    expect('idempotency-replayed' in (await send(orders)).headers).toBe(true)
  })

  it('leaves the key to its holder when the handler fails', async () => {
    const { answer, goOn } = await abandoned()
    const failing = idempotencyOn(pool).atomic({ operation, onLeaseExpired: 'retry' }, () =>
      Promise.resolve({ status: 503 }),
    )

    expect((await send(failing)).status).toBe(503)
    goOn()

    expect([(await answer).status, await countOrders(pool)]).toEqual([201, 1])
  })

  it('neither takes it from a holder that commits at last, nor waits for it', async () => {
    const { answer, goOn } = await abandoned()
    const holder = await database.client()
    await holder.query('begin; select from malote.idempotency_keys for no key update')
    const orders = idempotencyOn(pool).atomic({ operation, onLeaseExpired: 'retry' }, placeOrder)

    const during = await withoutWaiting(pool, send(orders))
    await holder.query('commit')
    goOn()

    expect([codeOf(during), (await answer).status, await countOrders(pool)]).toEqual(['in-progress', 201, 1])
  })

  it('never takes it for another request', async () => {
    const { answer, goOn } = await abandoned()
    const orders = idempotencyOn(pool).atomic({ operation, onLeaseExpired: 'retry' }, placeOrder)

    expect((await send(orders, { body: { amount: 2 } })).status).toBe(422)
    goOn()
    expect((await answer).status).toBe(201)
  })

  it('does so in a batch too, beside the others', async () => {
    const { goOn } = await abandoned({ key: keyOf('b'), body: { name: 'b' }, caller: alice })
    const { post } = batchOn(pool, undefined, { onLeaseExpired: 'retry' })

    expect((await Promise.all([post('a'), post('b'), post('c')])).map(brief)).toEqual(['201 a', '201 b', '201 c'])
    goOn()
  })
})
