import { anOutboxMessage } from '@malote/outbox-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSendPlan, type Outgoing, type SendPlan } from '../src/send-plan.ts'

interface Shape {
  readonly line?: string | null
  readonly bytes?: number
  readonly destination?: string
}

function outgoing({ line = null, bytes = 1, destination = 'q' }: Shape): Outgoing {
  const encoded = { body: '', attributes: {}, group: line ?? '', bytes }
  return { message: anOutboxMessage(), encoded, destination, line }
}

function planOf(messages: readonly Outgoing[], isStrict = true): SendPlan {
  return createSendPlan(messages, { maxEntries: 10, maxBatchBytes: 100, isStrict: () => isStrict })
}

describe('a strict plan', () => {
  it('sends one message of a line at a time, and different lines together', () => {
    const [a1, a2, b1] = [outgoing({ line: 'a' }), outgoing({ line: 'a' }), outgoing({ line: 'b' })]
    const plan = planOf([a1, a2, b1])

    expect(plan.take()).toEqual([a1, b1])
    expect(plan.take()).toEqual([])
    plan.settle(a1, true)
    expect(plan.take()).toEqual([a2])
  })

  it('sends nothing of a line behind a failed message, and says what was not sent', () => {
    const [first, second, third] = [outgoing({ line: 'a' }), outgoing({ line: 'a' }), outgoing({ line: 'a' })]
    const plan = planOf([first, second, third])
    plan.take()

    expect(plan.settle(first, false)).toEqual({ accepted: false, behind: [second, third] })
    expect(plan.take()).toEqual([])
  })
})

describe('a fast plan', () => {
  it('sends messages of a line together, in order', () => {
    const line = Array.from({ length: 12 }, () => outgoing({ line: 'a' }))
    const plan = planOf(line, false)

    expect(plan.take()).toEqual(line.slice(0, 10))
    expect(plan.take()).toEqual([])
    for (const one of line.slice(0, 10)) plan.settle(one, true)
    expect(plan.take()).toEqual(line.slice(10))
  })

  it('sends nothing more of a line before all of its request is settled', () => {
    const line = Array.from({ length: 11 }, () => outgoing({ line: 'a' }))
    const plan = planOf(line, false)
    const request = plan.take()

    for (const one of request.slice(0, 9)) plan.settle(one, true)
    expect(plan.take()).toEqual([])
    plan.settle(request[9] as Outgoing, true)
    expect(plan.take()).toEqual(line.slice(10))
  })

  it('does not count as accepted what passed a failed message of its line', () => {
    const line = [outgoing({ line: 'a' }), outgoing({ line: 'a' }), outgoing({ line: 'a' })]
    const plan = planOf(line, false)
    plan.take()

    expect(line.map((one, index) => plan.settle(one, index !== 1).accepted)).toEqual([true, false, false])
  })
})

describe('a request', () => {
  it('keeps within the byte limit, and a message above it goes alone', () => {
    const [small, big, huge] = [outgoing({ bytes: 40 }), outgoing({ bytes: 61 }), outgoing({ bytes: 500 })]
    const plan = planOf([small, big, huge])

    expect([plan.take(), plan.take(), plan.take(), plan.take()]).toEqual([[small], [big], [huge], []])
  })

  it('goes to one destination, and destinations take turns', () => {
    const [p, q] = [outgoing({ destination: 'p' }), outgoing({ destination: 'q' })]

    const plan = planOf([p, q])

    expect([plan.take(), plan.take()]).toEqual([[p], [q]])
  })

  it('that was put back is sent again as requests of one message, in order', () => {
    const line = [outgoing({ line: 'a' }), outgoing({ line: 'a' }), outgoing({ line: null })]
    const plan = planOf(line, false)
    const request = plan.take()

    plan.separate(request)

    const sizes: number[] = []
    const sent: Outgoing[] = []
    for (let next = plan.take(); next.length > 0; next = plan.take()) {
      sizes.push(next.length)
      sent.push(...next)
      for (const one of next) plan.settle(one, true)
    }
    expect(sizes).toEqual([1, 1, 1])
    expect(sent.filter((one) => one.line === 'a')).toEqual(line.slice(0, 2))
  })
})

it('whatever fails and whenever, accepted messages of a line are a prefix and every message is told of once', () => {
  const shape = fc.record({
    line: fc.constantFrom('a', 'b', null),
    destination: fc.constantFrom('p', 'q'),
    bytes: fc.integer({ min: 1, max: 60 }),
  })
  fc.assert(
    fc.property(
      fc.array(shape, { maxLength: 60 }),
      fc.boolean(),
      fc.infiniteStream(fc.nat(9)),
      (shapes, strict, dice) => {
        const messages = shapes.map(outgoing)
        const told = run(planOf(messages, strict), () => dice.next().value as number)

        expect(told.size).toBe(messages.length)
        for (const name of ['a', 'b'])
          for (const destination of ['p', 'q']) {
            const line = messages.filter((one) => one.line === name && one.destination === destination)
            const verdicts = line.map((one) => told.get(one))
            expect(verdicts).toEqual(verdicts.toSorted((x, y) => Number(y) - Number(x)))
          }
      },
    ),
  )
})

/** Plays a publisher: takes, settles in any order, fails some and puts some requests back. */
function run(plan: SendPlan, roll: () => number): Map<Outgoing, boolean> {
  const told = new Map<Outgoing, boolean>()
  const open: (readonly Outgoing[])[] = []
  for (;;) {
    const request = plan.take()
    if (request.length > 0) open.push(request)
    if (request.length > 0 && roll() < 5) continue
    const next = open.splice(roll() % Math.max(1, open.length), 1)[0]
    if (next === undefined) return told
    if (next.length > 1 && roll() === 0) {
      plan.separate(next)
      continue
    }
    for (const one of next) {
      const { accepted, behind } = plan.settle(one, roll() > 1)
      told.set(one, accepted)
      for (const other of behind) told.set(other, false)
    }
  }
}
