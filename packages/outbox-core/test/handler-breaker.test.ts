import { expect, it } from 'vitest'
import { createHandlerBreaker, type HandlerBreaker, type Pass } from '../src/adapter/handler-breaker.ts'
import type { ConsumerEvent } from '../src/index.ts'
import { createManualClock } from '../src/testing/index.ts'

const never = new AbortController().signal
const error = new Error('away')

function setup(pauseAfterOutages = 3, pauseAfterFailures = 6) {
  const clock = createManualClock()
  const events: ConsumerEvent[] = []
  const report = (event: ConsumerEvent): void => void events.push(event)
  const breaker = createHandlerBreaker({ pauseAfterOutages, pauseAfterFailures, clock, report })
  return { clock, events, breaker }
}

async function fail(breaker: HandlerBreaker, ids: readonly string[], isOutage: boolean): Promise<unknown[]> {
  const verdicts: unknown[] = []
  for (const id of ids) verdicts.push((await breaker.enter(never))?.failed({ id, isOutage, error }))
  return verdicts
}

/** Deliveries that wait at the breaker, in the order they came. */
function waitAt(breaker: HandlerBreaker, count: number): (Pass | null | undefined)[] {
  const passes: (Pass | null | undefined)[] = Array.from({ length: count })
  for (const index of passes.keys()) void breaker.enter(never).then((pass) => (passes[index] = pass))
  return passes
}

it('opens after enough outages in a row, over all messages, and none of them pays', async () => {
  const { breaker, events } = setup()

  expect(await fail(breaker, ['a', 'b'], true)).toEqual(['free', 'free'])
  expect(breaker.isOpen).toBe(false)
  expect(await fail(breaker, ['c'], true)).toEqual(['free'])

  expect(breaker.isOpen).toBe(true)
  expect(events).toMatchObject([{ type: 'consumer.paused', reason: 'OUTAGE', error }])
})

it('a success in between starts the count anew', async () => {
  const { breaker } = setup()

  await fail(breaker, ['a', 'b'], true)
  ;(await breaker.enter(never))?.succeeded()
  await fail(breaker, ['a', 'b'], true)

  expect(breaker.isOpen).toBe(false)
})

it('open, lets one probe through at a time, and all when it succeeds', async () => {
  const { breaker, clock, events } = setup()
  await fail(breaker, ['a', 'b', 'c'], true)
  const passes = waitAt(breaker, 3)

  await clock.advance(800)
  expect(passes.map((pass) => pass !== undefined)).toEqual([true, false, false])
  const late = waitAt(breaker, 1)
  await clock.advance(100)
  expect([passes[1], passes[2], late[0]]).toEqual([undefined, undefined, undefined])
  passes[0]?.succeeded()
  await clock.advance(0)

  await expect.poll(() => passes.every((pass) => pass !== undefined)).toBe(true)
  expect(events.at(-1)).toMatchObject({ type: 'consumer.resumed' })
})

it('a probe that fails makes way for the next within a second, however long the outage has lasted', async () => {
  const { breaker, clock } = setup()
  await fail(breaker, ['a', 'b', 'c'], true)

  for (let round = 0; round < 50; round++) {
    const passes = waitAt(breaker, 1)
    await clock.advance(1_000)
    expect(passes[0]).toBeDefined()
    passes[0]?.failed({ id: 'a', isOutage: true, error })
  }

  expect(breaker.isOpen).toBe(true)
})

it('a probe that hangs keeps the next waiting for a second and no longer', async () => {
  const { breaker, clock } = setup()
  await fail(breaker, ['a', 'b', 'c'], true)
  const passes = waitAt(breaker, 4)
  const probes = () => passes.filter((pass) => pass !== undefined).length

  await clock.advance(100) // The first pause is drawn and no longer than this.
  expect(probes()).toBe(1)
  await clock.advance(899)
  expect(probes()).toBe(1)
  await clock.advance(101)
  expect(probes()).toBe(2)
  await clock.advance(1_000)
  expect(probes()).toBe(3)
  passes[2]?.succeeded()

  await expect.poll(() => passes.every((pass) => pass !== undefined)).toBe(true)
  expect(breaker.isOpen).toBe(false)
  passes[0]?.failed({ id: 'a', isOutage: true, error }) // What hung tells of the past.
  expect(breaker.isOpen).toBe(false)
})

it('probes take turns: a message that always fails does not keep the others away', async () => {
  const { breaker, clock } = setup()
  await fail(breaker, ['a', 'b', 'c'], true)
  const passes = waitAt(breaker, 2)

  await clock.advance(1_000)
  passes[0]?.failed({ id: 'bad', isOutage: true, error })
  void breaker.enter(never)
  await clock.advance(1_000)

  expect(passes[1]).toBeDefined()
})

it('a probe that is aborted or says nothing makes way at once', async () => {
  const { breaker, clock } = setup()
  await fail(breaker, ['a', 'b', 'c'], true)
  const stopping = new AbortController()
  const gone = breaker.enter(stopping.signal)
  const passes = waitAt(breaker, 2)

  stopping.abort()
  expect(await gone).toBeNull()
  await clock.advance(1_000)
  passes[0]?.withdrawn()
  await clock.advance(0)

  expect(passes[1]).toBeDefined()
})

it('a failure of another kind ends an outage and is free this once', async () => {
  const { breaker, clock } = setup()
  await fail(breaker, ['a', 'b', 'c'], true)
  const passes = waitAt(breaker, 1)

  await clock.advance(1_000)

  expect(passes[0]?.failed({ id: 'a', isOutage: false, error })).toBe('free')
  expect(breaker.isOpen).toBe(false)
  expect(await fail(breaker, ['a'], false)).toEqual(['pays'])
})

it('opens when everything fails, whatever the error, and only a success closes it', async () => {
  const { breaker, clock, events } = setup()

  const verdicts = await fail(breaker, ['a', 'b', 'c', 'a', 'b', 'c'], false)
  const passes = waitAt(breaker, 1)
  await clock.advance(1_000)
  passes[0]?.failed({ id: 'a', isOutage: false, error })

  expect(verdicts).toEqual(['pays', 'pays', 'pays', 'pays', 'pays', 'free'])
  expect(events).toMatchObject([{ type: 'consumer.paused', reason: 'EVERY_DELIVERY_FAILS' }])
  expect(breaker.isOpen).toBe(true)
})

it('one or two bad messages are not everything', async () => {
  const { breaker } = setup()

  await fail(
    breaker,
    Array.from({ length: 40 }, (_, index) => ['a', 'b'][index % 2] as string),
    false,
  )

  expect(breaker.isOpen).toBe(false)
})
