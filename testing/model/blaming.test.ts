import { describe, expect, it } from 'vitest'
import { type BlamingMistake, type BlamingOptions, createBlaming } from './blaming.ts'
import { explore } from './explore.ts'

const oneTopic = [0, 0, 0, 0, 0, 0, 0, 0]
const twoTopics = [0, 1, 0, 1, 0, 0]
const oneElsewhere = [1, ...oneTopic, 0, 0, 0]
const nobody = -1

describe('a publisher that rejects batches as a whole', () => {
  it.each<[string, BlamingOptions]>([
    [
      'nothing is at fault, and the broker or a destination goes away',
      { topics: twoTopics, culprit: nobody, faults: 1 },
    ],
    ['one message is at fault', { topics: twoTopics, culprit: 1, faults: 0 }],
    ['one message is at fault, and the broker or a destination goes away', { topics: oneTopic, culprit: 2, faults: 1 }],
    ['both, in two topics', { topics: twoTopics, culprit: 0, faults: 1 }],
  ])('no other dies, and all others are published: %s', (_, system) => {
    const explored = explore(createBlaming(system))

    console.info(`blaming: ${String(explored.states)} states, ${String(explored.transitions)} transitions`)
    expect(explored.violation).toBeNull()
  })
})

interface Broken {
  readonly mistake: BlamingMistake
  readonly system: BlamingOptions
  /** Length of the shortest counterexample. */
  readonly steps: number
}

const broken: readonly Broken[] = [
  { mistake: 'charge-an-outage', system: { topics: oneTopic, culprit: nobody, faults: 1 }, steps: 11 },
  { mistake: 'blame-the-whole-batch', system: { topics: oneTopic, culprit: 0, faults: 0 }, steps: 10 },
  { mistake: 'proof-from-another-topic', system: { topics: oneElsewhere, culprit: nobody, faults: 1 }, steps: 21 },
]

describe('a search for the culprit with a mistake has a counterexample', () => {
  it.each(broken)('$mistake', ({ mistake, system, steps }) => {
    const { violation } = explore(createBlaming({ ...system, mistake }))

    expect(violation?.property).toBe('a message died that nothing was wrong with')
    expect.soft(violation?.trace, violation?.trace.join('\n')).toHaveLength(steps)
  })
})
