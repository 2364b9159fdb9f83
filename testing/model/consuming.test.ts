import { describe, expect, it } from 'vitest'
import { createConsuming } from './consuming.ts'
import { explore } from './explore.ts'
import { brokenConsumers } from './mistakes.ts'

const system = { messages: 2, processes: 2, faults: 4 }

it('two processes of a consumer apply each message once and in order, whatever four faults come between', () => {
  const explored = explore(createConsuming(system))

  console.info(`consuming: ${String(explored.states)} states, ${String(explored.transitions)} transitions`)
  expect(explored.violation).toBeNull()
  expect(explored.states).toBeGreaterThan(1_000)
})

describe('a consumer with a mistake has a counterexample', () => {
  it.each(brokenConsumers)('$mistake', ({ mistake, property, steps }) => {
    const { violation } = explore(createConsuming({ ...system, mistake }))

    expect(violation?.property).toBe(property)
    expect.soft(violation?.trace, violation?.trace.join('\n')).toHaveLength(steps)
  })
})
