import { describe, expect, it } from 'vitest'
import { explore } from './explore.ts'
import { brokenKeys } from './mistakes.ts'
import { createSteering } from './steering.ts'

const policies = ['hold', 'skip'] as const

describe.each(policies)('operators, outages and a cut-off beside a relay that %ss behind a dead letter', (policy) => {
  it('keep order, send nothing of what is closed, lose nothing, and are told the truth', () => {
    const explored = explore(createSteering({ messages: 3, afterDeadLetter: policy, faults: 2 }))

    console.info(`${policy}: ${String(explored.states)} states, ${String(explored.transitions)} transitions`)
    expect(explored.violation).toBeNull()
    expect(explored.states).toBeGreaterThan(10_000)
  })
})

describe('steering with a mistake has a counterexample', () => {
  it.each(brokenKeys)('$mistake', ({ mistake, afterDeadLetter, property, steps }) => {
    const { violation } = explore(createSteering({ messages: 3, faults: 3, afterDeadLetter, mistake }))

    expect(violation?.property).toBe(property)
    expect.soft(violation?.trace, violation?.trace.join('\n')).toHaveLength(steps)
  })
})
