import { describe, expect, it } from 'vitest'
import { type ConsumingMistake, createConsuming } from './consuming.ts'
import { explore } from './explore.ts'

const system = { messages: 2, processes: 2, faults: 4 }

it('two processes of a consumer apply each message once and in order, whatever four faults come between', () => {
  const explored = explore(createConsuming(system))

  console.info(`consuming: ${String(explored.states)} states, ${String(explored.transitions)} transitions`)
  expect(explored.violation).toBeNull()
  expect(explored.states).toBeGreaterThan(1_000)
})

interface Broken {
  readonly mistake: ConsumingMistake
  readonly property: string
  /** Length of the shortest counterexample. */
  readonly steps: number
}

const twice = 'a message applied twice'
const missing = 'a message acknowledged that was not applied'

const broken: readonly Broken[] = [
  { mistake: 'acknowledge-before-commit', property: missing, steps: 3 },
  { mistake: 'apply-without-inbox', property: twice, steps: 6 },
  { mistake: 'look-before-claiming', property: twice, steps: 7 },
  { mistake: 'inbox-outside-the-transaction', property: missing, steps: 6 },
  { mistake: 'acknowledge-a-failure', property: missing, steps: 3 },
]

describe('a consumer with a mistake has a counterexample', () => {
  it.each(broken)('$mistake', ({ mistake, property, steps }) => {
    const { violation } = explore(createConsuming({ ...system, mistake }))

    expect(violation?.property).toBe(property)
    expect.soft(violation?.trace, violation?.trace.join('\n')).toHaveLength(steps)
  })
})
