import { describe, expect, it } from 'vitest'
import { type BlamingOptions, createBlaming } from './blaming.ts'
import { explore } from './explore.ts'
import { brokenBlames, nobody, oneTopic } from './mistakes.ts'

const twoTopics = [0, 1, 0, 1, 0, 0]

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

describe('a search for the culprit with a mistake has a counterexample', () => {
  it.each(brokenBlames)('$mistake', ({ mistake, system, property, steps }) => {
    const { violation } = explore(createBlaming({ ...system, mistake }))

    expect(violation?.property).toBe(property)
    expect.soft(violation?.trace, violation?.trace.join('\n')).toHaveLength(steps)
  })
})
