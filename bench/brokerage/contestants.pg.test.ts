import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createWorkbench, fillingExchange, type Workbench } from '../../examples/brokerage/test/workbench.ts'
import { measureBrokerage } from './contestants.ts'

let bench: Workbench
beforeAll(async () => {
  bench = await createWorkbench(inject('postgresUrl'))
})
afterAll(() => bench.dispose())

/** Sends nothing: what is measured here is in the database already. */
const measure = () =>
  measureBrokerage(
    { apiUrl: 'http://127.0.0.1:9', pool: bench.pool },
    { tokens: ['nobody'], warmUpMs: 0, measuredMs: 0 },
    1,
  )

describe('a measurement of the brokerage', () => {
  it('fails when orders stay open, and says how many', async () => {
    const [left, ended] = [await bench.place(bench.nextAccount()), await bench.place(bench.nextAccount())]
    await bench.pursue(ended, fillingExchange)
    await bench.close(ended)

    await expect(measure()).rejects.toThrow('1 order has not ended')

    await bench.pursue(left, fillingExchange)
    await bench.close(left)
    expect((await measure()).load.errors).toBe(0)
  })
})
