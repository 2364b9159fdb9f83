import { describe, expect, it, vi } from 'vitest'
import { inBatches } from '../src/in-batches.ts'

const fulfilled = <Value>(value: Value): PromiseFulfilledResult<Value> => ({ status: 'fulfilled', value })
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Batches that end when the test says so. */
function gate() {
  const batches: { readonly items: readonly number[]; readonly end: () => void }[] = []
  const run = (items: readonly number[]) =>
    new Promise<readonly PromiseSettledResult<number>[]>((resolve) => {
      batches.push({ items, end: () => resolve(items.map((item) => fulfilled(item * 10))) })
    })
  return { batches, run, seen: () => batches.map(({ items }) => items) }
}

describe('a function in batches', () => {
  it('gathers what arrives in one turn, and what arrives while it is busy, in order', async () => {
    const { batches, run, seen } = gate()
    const apply = inBatches(run)

    const first = [apply(1), apply(2)]
    await nextTurn()
    const second = [apply(3), apply(4), apply(5)]
    await nextTurn()
    const seenWhileBusy = seen()
    batches[0]?.end()
    const results = await Promise.all(first)
    await nextTurn()
    batches[1]?.end()

    expect(seenWhileBusy).toEqual([[1, 2]])
    expect(results).toEqual([10, 20])
    expect(await Promise.all(second)).toEqual([30, 40, 50])
    expect(seen()).toEqual([
      [1, 2],
      [3, 4, 5],
    ])
  })

  it('runs at once and alone when nothing else is there', async () => {
    const { batches, run, seen } = gate()
    const apply = inBatches(run)

    const one = apply(1)
    await nextTurn()
    batches[0]?.end()
    await one
    const two = apply(2)
    await nextTurn()
    batches[1]?.end()

    expect(await two).toBe(20)
    expect(seen()).toEqual([[1], [2]])
  })

  it('cuts what waits into calls of maxSize, of which concurrency run at a time', async () => {
    const { batches, run, seen } = gate()
    const apply = inBatches(run, { maxSize: 2, concurrency: 2 })

    const all = [1, 2, 3, 4, 5].map((item) => apply(item))
    await nextTurn()
    const together = seen()
    batches[1]?.end()
    await Promise.all(all.slice(2, 4))
    await nextTurn()
    batches[2]?.end()
    batches[0]?.end()

    expect(together).toEqual([
      [1, 2],
      [3, 4],
    ])
    expect(await Promise.all(all)).toEqual([10, 20, 30, 40, 50])
    expect(seen()).toEqual([[1, 2], [3, 4], [5]])
  })

  it('with a linger waits for company, and no longer than it takes to be full', async () => {
    const { batches, run, seen } = gate()
    const apply = inBatches(run, { maxSize: 3, lingerMs: 20 })
    const patient = inBatches(run, { maxSize: 2, lingerMs: 60_000 })

    const together = [apply(1)]
    await nextTurn()
    together.push(apply(2))
    await vi.waitUntil(() => batches.length === 1)
    const full = [patient(3), patient(4)]
    await vi.waitUntil(() => batches.length === 2)
    for (const { end } of batches) end()

    expect(await Promise.all([...together, ...full])).toEqual([10, 20, 30, 40])
    expect(seen()).toEqual([
      [1, 2],
      [3, 4],
    ])
  })

  it('gives each item its own outcome', async () => {
    const apply = inBatches(async (items: readonly number[]) =>
      items.map((item): PromiseSettledResult<number> =>
        item === 2 ? { status: 'rejected', reason: new Error('two') } : fulfilled(item),
      ),
    )

    const [one, two, three] = await Promise.allSettled([apply(1), apply(2), apply(3)])

    expect(one).toEqual(fulfilled(1))
    expect(two).toMatchObject({ status: 'rejected', reason: { message: 'two' } })
    expect(three).toEqual(fulfilled(3))
  })

  it('fails a whole batch whose run throws, and goes on with the next one', async () => {
    let calls = 0
    const apply = inBatches((items: readonly number[]) => {
      if (++calls === 1) throw new Error('away')
      return Promise.resolve(items.map((item) => fulfilled(item)))
    })

    const first = await Promise.allSettled([apply(1), apply(2)])

    expect(first.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected'])
    expect(await apply(3)).toBe(3)
  })

  it('fails a batch with an outcome too few: nobody knows whose is missing', async () => {
    const apply = inBatches((items: readonly number[]) =>
      Promise.resolve(items.slice(1).map((item) => fulfilled(item))),
    )

    const outcomes = await Promise.allSettled([apply(1), apply(2)])

    expect(outcomes).toMatchObject([
      { reason: { message: 'run gave 1 outcomes for 2 items' } },
      { reason: { message: 'run gave 1 outcomes for 2 items' } },
    ])
  })

  it('lingers for nobody when all that can come is there', async () => {
    const { batches, run, seen } = gate()
    let inHand = 2
    const apply = inBatches(run, { lingerMs: 60_000, expected: () => inHand })

    const both = [apply(1), apply(2)]
    await nextTurn()
    inHand = 3
    const waits = apply(3)
    batches[0]?.end()
    await Promise.all(both)
    await nextTurn()
    const whileLingering = seen()
    const company = [apply(4), apply(5)]
    await nextTurn()
    batches[1]?.end()

    expect(whileLingering).toEqual([[1, 2]])
    expect(await Promise.all([waits, ...company])).toEqual([30, 40, 50])
    expect(seen()).toEqual([
      [1, 2],
      [3, 4, 5],
    ])
  })

  it.each([{ maxSize: 0 }, { maxSize: 1.5 }, { concurrency: 0 }, { lingerMs: -1 }])('refuses %j', (options) => {
    expect(() => inBatches(() => Promise.resolve([]), options)).toThrow(/option "(maxSize|concurrency|lingerMs)"/)
  })
})
