import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { explore } from './explore.ts'
import { brokenLanes, floors, followers, overlapping, threeWriters, two } from './mistakes.ts'
import { createProtocol, type ProtocolOptions } from './protocol.ts'

// Seconds of pure computing on an idle machine; the limit is for a busy one.
const timeout = 60_000

describe.each(floors)('the protocol with the %s floor, over all interleavings', { timeout }, (floor) => {
  it.each<[string, Omit<ProtocolOptions, 'floor'>]>([
    [
      'two writers of one key, one of them of another message too, two relays, any one fault',
      { writers: overlapping, relays: 2, faults: 1 },
    ],
    ['two writers of one key, two relays, any three faults', { writers: followers, relays: 2, faults: 3 }],
    ['three writers and reads cut off after one row', { writers: threeWriters, relays: 1, faults: 0, readLimit: 1 }],
  ])('loses nothing and keeps order: %s', (_, system) => {
    const explored = explore(createProtocol({ ...system, floor }))

    console.info(`${floor}: ${String(explored.states)} states, ${String(explored.transitions)} transitions`)
    expect(explored.violation).toBeNull()
    expect(explored.states).toBeGreaterThan(50_000)
  })
})

describe('a broken protocol has a counterexample', { timeout }, () => {
  it.each(brokenLanes)('$mistake', ({ mistake, system, floors, property, steps }) => {
    for (const floor of floors) {
      const { violation } = explore(createProtocol({ ...system, floor, mistake }))

      expect(violation?.property).toBe(property)
      expect.soft(violation?.trace, violation?.trace.join('\n')).toHaveLength(steps)
    }
  })
})

it('docs/model.md shows the history that the explorer finds', { timeout }, () => {
  const page = readFileSync(new URL('../../docs/model.md', import.meta.url), 'utf8')
  const { violation } = explore(
    createProtocol({ ...two, floor: 'open-writers', mistake: 'add-outside-the-transaction' }),
  )

  expect(page).toContain(`\`\`\`\n${violation?.trace.join('\n') ?? ''}\n\`\`\``)
})
