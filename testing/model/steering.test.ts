import { describe, expect, it } from 'vitest'
import { explore } from './explore.ts'
import { createSteering, type SteeringMistake, type SteeringOptions } from './steering.ts'

const policies = ['hold', 'skip'] as const

describe.each(policies)('operators, outages and a cut-off beside a relay that %ss behind a dead letter', (policy) => {
  it('keep order, send nothing of what is closed, lose nothing, and are told the truth', () => {
    const explored = explore(createSteering({ messages: 3, afterDeadLetter: policy, faults: 2 }))

    console.info(`${policy}: ${String(explored.states)} states, ${String(explored.transitions)} transitions`)
    expect(explored.violation).toBeNull()
    expect(explored.states).toBeGreaterThan(10_000)
  })
})

interface Broken {
  readonly mistake: SteeringMistake
  readonly afterDeadLetter: SteeringOptions['afterDeadLetter']
  readonly property: string
  /** Length of the shortest counterexample. */
  readonly steps: number
}

const outOfOrder = 'a message published before an earlier one of its key'
const notSo = 'a cut-off that claims what is not so'

const broken: readonly Broken[] = [
  { mistake: 'replay-keeps-what-waits', afterDeadLetter: 'skip', property: outOfOrder, steps: 16 },
  {
    mistake: 'rejected-goes-again-although-closed',
    afterDeadLetter: 'skip',
    property: 'a message published of a paused topic',
    steps: 10,
  },
  { mistake: 'read-under-a-pause-counts', afterDeadLetter: 'skip', property: outOfOrder, steps: 15 },
  {
    mistake: 'resume-without-going-back',
    afterDeadLetter: 'skip',
    property: outOfOrder,
    steps: 15,
  },
  {
    mistake: 'burial-without-hold',
    afterDeadLetter: 'hold',
    property: 'a message published behind a dead one that nobody has decided on',
    steps: 14,
  },
  { mistake: 'bound-before-the-writers-end', afterDeadLetter: 'skip', property: notSo, steps: 4 },
  { mistake: 'cut-off-looks-at-ready-rows-only', afterDeadLetter: 'skip', property: notSo, steps: 10 },
]

describe('steering with a mistake has a counterexample', () => {
  it.each(broken)('$mistake', ({ mistake, afterDeadLetter, property, steps }) => {
    const { violation } = explore(createSteering({ messages: 3, faults: 3, afterDeadLetter, mistake }))

    expect(violation?.property).toBe(property)
    expect.soft(violation?.trace, violation?.trace.join('\n')).toHaveLength(steps)
  })
})
