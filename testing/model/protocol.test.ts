import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { explore } from './explore.ts'
import { createProtocol, type Mistake, type ProtocolOptions } from './protocol.ts'

const keyed = true
const unkeyed = false
const overlapping = [[keyed], [unkeyed, keyed]]
const followers = [[keyed], [keyed]]
const threeWriters = [[unkeyed], [keyed], [unkeyed, keyed]]
const floors = ['barrier', 'open-writers'] as const

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

const outOfOrder = 'a message published before an earlier one of its key'
const twice = 'a message published twice although nothing failed while it was in flight'
const two = { writers: overlapping, relays: 2, faults: 1 }
const twoFaults = { writers: followers, relays: 2, faults: 2 }
const cutOff = { writers: threeWriters, relays: 1, faults: 0, readLimit: 1 }

interface Broken {
  readonly mistake: Mistake
  readonly system: Omit<ProtocolOptions, 'floor' | 'mistake'>
  readonly floors: readonly ProtocolOptions['floor'][]
  readonly property: string
  /** Length of the shortest counterexample. */
  readonly steps: number
}

/** What each mistake leads to. A shorter counterexample than the one written here means that the model has changed. */
const broken: readonly Broken[] = [
  { mistake: 'retry-without-fence', system: twoFaults, floors, property: outOfOrder, steps: 18 },
  { mistake: 'forward-only-position', system: two, floors: ['barrier'], property: outOfOrder, steps: 17 },
  {
    mistake: 'floor-by-xmin',
    system: two,
    floors: ['barrier'],
    property: "a floor above a live writer's seq",
    steps: 11,
  },
  { mistake: 'read-in-the-locking-statement', system: two, floors, property: twice, steps: 15 },
  { mistake: 'forget-settled-at-once', system: two, floors, property: twice, steps: 13 },
  {
    mistake: 'settle-before-acknowledgement',
    system: two,
    floors,
    property: 'a message settled that no broker has',
    steps: 8,
  },
  { mistake: 'send-behind-an-unaccepted-message', system: two, floors, property: outOfOrder, steps: 15 },
  { mistake: 'late-read-skipped', system: two, floors: ['open-writers'], property: outOfOrder, steps: 19 },
  {
    mistake: 'look-for-holders-before-reading',
    system: two,
    floors: ['open-writers'],
    property: outOfOrder,
    steps: 19,
  },
  { mistake: 'new-owner-ignores-waiting-keys', system: twoFaults, floors, property: outOfOrder, steps: 18 },
  { mistake: 'hand-over-with-unsettled-messages', system: two, floors, property: twice, steps: 14 },
  { mistake: 'publish-after-the-lease', system: two, floors, property: twice, steps: 14 },
  { mistake: 'enqueue-behind-a-truncated-late-part', system: cutOff, floors, property: outOfOrder, steps: 21 },
  {
    mistake: 'wait-for-a-settled-message',
    system: twoFaults,
    floors,
    property: 'a message that can never be published',
    steps: 15,
  },
  {
    mistake: 'add-outside-the-transaction',
    system: two,
    floors,
    property: 'a message published whose transaction has not committed',
    steps: 7,
  },
]

describe('a broken protocol has a counterexample', { timeout }, () => {
  it.each(broken)('$mistake', ({ mistake, system, floors, property, steps }) => {
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
