import { scaled } from '@malote/testing/slowness'
import type { FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createPace, type Pace } from '../src/api/pace.ts'
import { isSettlementBehind } from '../src/orders/settlement-lag.ts'
import { createDemoApi } from './demo-api.ts'
import { createWorkbench, type Workbench } from './workbench.ts'

let bench: Workbench
beforeAll(async () => {
  bench = await createWorkbench(inject('postgresUrl'))
  await bench.pool.query('update accounts set orders_per_minute = 1000000')
})
afterAll(() => bench.dispose())
beforeEach(() => bench.pool.query('delete from breakers'))

/** Makes every open order wait for so long. */
const age = (seconds: number) =>
  bench.pool.query(`update orders set created_at = clock_timestamp() - $1 * interval '1 s' where is_open`, [seconds])
const move = (state: string) => bench.pool.query('update orders set state = $1 where is_open', [state])

/** Accepts so many orders that nobody takes any further. */
async function accept(count: number): Promise<void> {
  await move('SETTLED')
  const account = bench.nextAccount()
  for (let n = 0; n < count; n++) await bench.place(account, 'BUY', 100)
}

describe('settlement is behind', () => {
  it.each(['BALANCE_RESERVED', 'FILLED', 'COMPENSATING'])(
    'when many orders have been %s for more than a second, and not when they are few or new',
    async (state) => {
      await accept(63)
      await move(state)
      await age(2)
      const few = await isSettlementBehind(bench.db)
      await accept(64)
      await move(state)
      const fresh = await isSettlementBehind(bench.db)
      await age(2)

      expect([few, fresh, await isSettlementBehind(bench.db)]).toEqual([false, false, true])
    },
  )

  it.each(['SENT_TO_B3', 'FAILED'])('for no order that is %s: somebody else has it in hand', async (state) => {
    await accept(64)
    await move(state)
    await age(2)

    expect(await isSettlementBehind(bench.db)).toBe(false)
  })

  it('not while the exchange is away, whatever waits for it', async () => {
    await accept(64)
    await age(2)
    await bench.pool.query(`insert into breakers (name, state) values ('b3', 'open')`)

    expect(await isSettlementBehind(bench.db)).toBe(false)
  })
})

describe('an API whose orders nobody settles', () => {
  let api: FastifyInstance
  let pace: Pace
  afterEach(async () => {
    await pace.stop()
    await api.close()
  })

  let keys = 0
  const place = () =>
    api.inject({
      method: 'POST',
      url: '/api/orders',
      headers: {
        authorization: 'Bearer demo-token-acc-001',
        'idempotency-key': `pace-test-key-${String(++keys).padStart(6, '0')}`,
      },
      payload: { amount: 1, asset: 'PETR4', type: 'BUY' },
    })

  it('accepts no more until they are, and refuses nobody', async () => {
    await accept(0)
    const looks: boolean[] = []
    const isBehind = async () => {
      const found = await isSettlementBehind(bench.db)
      looks.push(found)
      return found
    }
    const onError = (error: unknown) => expect.unreachable(String(error))
    pace = createPace({ isBehind, onError, everyMs: 5, maxWaitMs: scaled(60_000) })
    api = (await createDemoApi(bench.pool, { pace })).api
    await bench.pool.query('update accounts set orders_per_minute = 1000000')
    const first = await Promise.all(Array.from({ length: 64 }, place))
    await age(2)
    expect(first.map(({ statusCode }) => statusCode)).toEqual(first.map(() => 202))
    // Whoever asks first brings the look about.
    const sent = [place()]
    await expect.poll(() => looks.at(-1), { interval: 1 }).toBe(true)
    const accepted = await countOrders()

    sent.push(...Array.from({ length: 100 }, place))
    const seen = looks.length
    await expect.poll(() => looks.length, { interval: 1, timeout: scaled(5_000) }).toBeGreaterThan(seen + 3)
    const meanwhile = await countOrders()
    await move('SETTLED')
    const answers = [...first, ...(await Promise.all(sent))]

    // The one that brought the look about may have been on its way.
    expect(meanwhile - accepted).toBeLessThanOrEqual(1)
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(answers.map(() => 202))
    expect(await countOrders()).toBe(answers.length)
  })

  const countOrders = async () =>
    Number((await bench.pool.query(`select count(*) from orders where account_id = 'ACC-001'`)).rows[0].count)
})
