import { afterEach, describe, expect, it } from 'vitest'
import { createPace, type Pace, type PaceOptions } from '../src/api/pace.ts'

let pace: Pace
let looks: PromiseWithResolvers<boolean>[]
let told: unknown[]
afterEach(async () => {
  const stopped = pace.stop()
  for (const look of looks) look.resolve(false)
  await stopped
})

/** A settlement that says what a test wants, one look after the other: each look waits to be told. */
function settlement(options: Partial<PaceOptions> = {}) {
  looks = []
  told = []
  const isBehind = (): Promise<boolean> => {
    const look = Promise.withResolvers<boolean>()
    looks.push(look)
    return look.promise
  }
  pace = createPace({ isBehind, onError: (error) => told.push(error), everyMs: 1, maxWaitMs: 600_000, ...options })
  /** Answers the n-th look as soon as there is one. */
  const say = async (n: number, answer: boolean | Error): Promise<void> => {
    await expect.poll(() => looks.length, { interval: 1 }).toBeGreaterThan(n)
    if (typeof answer === 'boolean') looks[n]?.resolve(answer)
    else looks[n]?.reject(answer)
    await new Promise(setImmediate)
  }
  return { say }
}

/** Whether a wait is over by now. */
async function isOver(wait: Promise<void>): Promise<boolean> {
  const pending = Symbol('pending')
  return (await Promise.race([wait, new Promise((resolve) => setImmediate(resolve, pending))])) !== pending
}

describe('while settlement is behind,', () => {
  it('orders wait, and go on together when it has caught up', async () => {
    const { say } = settlement()
    await pace.turn() // Brings the first look about, and waits for none.
    await say(0, true)

    const waits = [pace.turn(), pace.turn(), pace.turn()]
    const before = await Promise.all(waits.map(isOver))
    await say(1, true)
    const meanwhile = await Promise.all(waits.map(isOver))
    await say(2, false)

    await Promise.all(waits)
    expect([before, meanwhile]).toEqual([
      [false, false, false],
      [false, false, false],
    ])
    expect(await isOver(pace.turn())).toBe(true)
  })

  it('an order waits no longer than it may: nobody is refused', async () => {
    const { say } = settlement({ maxWaitMs: 5 })
    await pace.turn()
    await say(0, true)

    await pace.turn()
  })

  it('nobody waits any more when the process stops', async () => {
    const { say } = settlement()
    await pace.turn()
    await say(0, true)
    const wait = pace.turn()
    await expect.poll(() => looks.length).toBe(2)

    const stopped = pace.stop()
    await wait

    expect(await isOver(stopped)).toBe(false)
    await say(1, true)
    await stopped
    await pace.turn()
    expect(looks).toHaveLength(2)
  })
})

describe('an order waits for nobody', () => {
  it('when settlement keeps up, and while it is looked at', async () => {
    const { say } = settlement()

    await pace.turn()
    await pace.turn()
    await say(0, false)
    await pace.turn()
  })

  it('when it comes after a pause: settlement is looked at until it has caught up, and then no more', async () => {
    const { say } = settlement()
    await pace.turn()
    await say(0, true)
    await say(1, true)
    await say(2, false)
    await new Promise((resolve) => setTimeout(resolve, 5))
    const before = looks.length

    await pace.turn()
    expect([before, looks.length]).toEqual([3, 4])
  })

  it('when the look fails', async () => {
    const { say } = settlement()
    await pace.turn()
    await pace.turn()
    await say(0, new Error('the database is away'))

    await pace.turn()
  })
})

it('an outage in which no look succeeds is told once, and the next one again', async () => {
  const { say } = settlement()
  const answers = [new Error('away'), new Error('still away'), false, new Error('away again')] as const

  for (const [n, answer] of answers.entries()) {
    await pace.turn() // Else nobody would look while settlement keeps up.
    await say(n, answer)
  }

  expect(told).toEqual([answers[0], answers[3]])
})
