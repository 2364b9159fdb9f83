import { propertyRuns } from '@malote/testing/property-scale'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createKeyedQueue } from '../src/adapter/index.ts'

/** A task that ends when told to. */
function gate(): { readonly task: () => Promise<void>; readonly open: () => void; readonly started: () => boolean } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let started = false
  return { task: () => ((started = true), promise), open: resolve, started: () => started }
}

describe('a keyed queue', () => {
  it('runs tasks of one key one after the other and passes others by', async () => {
    const queue = createKeyedQueue(2)
    const [a1, a2, b1] = [gate(), gate(), gate()]

    const done = [queue.run('a', a1.task), queue.run('a', a2.task), queue.run('b', b1.task)]

    expect([a1, a2, b1].map((task) => task.started())).toEqual([true, false, true])
    a1.open()
    await done[0]
    expect(a2.started()).toBe(true)
    a2.open()
    b1.open()
    await Promise.all(done)
    expect(queue.size).toBe(0)
  })

  it('rejects as the task does and goes on', async () => {
    const queue = createKeyedQueue(1)

    const failed = queue.run('a', () => Promise.reject(new Error('x')))
    const next = queue.run('a', () => Promise.resolve('next'))

    await expect(failed).rejects.toThrow('x')
    expect(await next).toBe('next')
  })

  it('says when there is room and when nothing is left', async () => {
    const queue = createKeyedQueue(1)
    const [first, second] = [gate(), gate()]
    const done = [queue.run(null, first.task), queue.run(null, second.task)]

    const room = queue.whenBelow(2)
    first.open()
    await room
    second.open()
    await Promise.all(done)

    await queue.whenBelow()
  })

  it('keeps order per key and its bound for any tasks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.constantFrom('a', 'b', null), { maxLength: 30 }),
        fc.integer({ min: 1, max: 4 }),
        async (scheduler, keys, bound) => {
          const queue = createKeyedQueue(bound)
          const finished: { readonly key: string | null; readonly n: number }[] = []
          let running = 0
          const done = keys.map((key, n) =>
            queue.run(key, async () => {
              expect(++running).toBeLessThanOrEqual(bound)
              await scheduler.schedule(Promise.resolve(), `task ${String(n)}`)
              running--
              finished.push({ key, n })
            }),
          )
          await scheduler.waitIdle()
          await Promise.all(done)
          for (const key of ['a', 'b']) {
            const order = finished.filter((task) => task.key === key).map((task) => task.n)
            expect(order).toEqual(order.toSorted((x, y) => x - y))
          }
          expect(finished).toHaveLength(keys.length)
        },
      ),
      { numRuns: propertyRuns(100) },
    )
  })
})
