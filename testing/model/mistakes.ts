import type { BlamingMistake, BlamingOptions } from './blaming.ts'
import type { ConsumingMistake } from './consuming.ts'
import type { Mistake, ProtocolOptions } from './protocol.ts'
import type { SteeringMistake, SteeringOptions } from './steering.ts'

/** A rule that is taken out of a model, and what that leads to. */
interface Broken<Name> {
  readonly mistake: Name
  /** What the explorer must find broken, in the model's words. */
  readonly property: string
  /** Length of the shortest counterexample. A shorter one than the one written here means that the model has changed. */
  readonly steps: number
}

const keyed = true
const unkeyed = false
export const overlapping: readonly (readonly boolean[])[] = [[keyed], [unkeyed, keyed]]
export const followers: readonly (readonly boolean[])[] = [[keyed], [keyed]]
export const threeWriters: readonly (readonly boolean[])[] = [[unkeyed], [keyed], [unkeyed, keyed]]
export const floors = ['barrier', 'open-writers'] as const

const outOfOrder = 'a message published before an earlier one of its key'
const repeated = 'a message published twice although nothing failed while it was in flight'
/** Two writers of one key, one of them of another message too, and any one fault. */
export const two: Omit<ProtocolOptions, 'floor'> = { writers: overlapping, relays: 2, faults: 1 }
const twoFaults = { writers: followers, relays: 2, faults: 2 }
const cutOff = { writers: threeWriters, relays: 1, faults: 0, readLimit: 1 }

export interface BrokenLane extends Broken<Mistake> {
  readonly system: Omit<ProtocolOptions, 'floor' | 'mistake'>
  readonly floors: readonly ProtocolOptions['floor'][]
}

/** Of one lane: see protocol.ts. */
export const brokenLanes: readonly BrokenLane[] = [
  { mistake: 'retry-without-fence', system: twoFaults, floors, property: outOfOrder, steps: 18 },
  { mistake: 'forward-only-position', system: two, floors: ['barrier'], property: outOfOrder, steps: 17 },
  {
    mistake: 'floor-by-xmin',
    system: two,
    floors: ['barrier'],
    property: "a floor above a live writer's seq",
    steps: 11,
  },
  { mistake: 'read-in-the-locking-statement', system: two, floors, property: repeated, steps: 15 },
  { mistake: 'forget-settled-at-once', system: two, floors, property: repeated, steps: 13 },
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
  { mistake: 'hand-over-with-unsettled-messages', system: two, floors, property: repeated, steps: 14 },
  {
    mistake: 'publish-after-the-lease',
    system: two,
    floors,
    property: 'a publish that began without owning the lane',
    steps: 9,
  },
  { mistake: 'take-a-lane-that-is-owned', system: two, floors, property: 'a lane with two unfenced owners', steps: 2 },
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

export interface BrokenKey extends Broken<SteeringMistake> {
  readonly afterDeadLetter: SteeringOptions['afterDeadLetter']
}

const notSo = 'a cut-off that claims what is not so'

/** Of one key: see steering.ts. */
export const brokenKeys: readonly BrokenKey[] = [
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

const twice = 'a message applied twice'
const missing = 'a message acknowledged that was not applied'

/** Of a consumer: see consuming.ts. */
export const brokenConsumers: readonly Broken<ConsumingMistake>[] = [
  { mistake: 'acknowledge-before-commit', property: missing, steps: 3 },
  { mistake: 'apply-without-inbox', property: twice, steps: 6 },
  { mistake: 'look-before-claiming', property: twice, steps: 7 },
  { mistake: 'inbox-outside-the-transaction', property: missing, steps: 6 },
  { mistake: 'acknowledge-a-failure', property: missing, steps: 3 },
]

export const oneTopic: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0]
const oneElsewhere = [1, ...oneTopic, 0, 0, 0]
/** No message is at fault. */
export const nobody = -1
const innocent = 'a message died that nothing was wrong with'

export interface BrokenBlame extends Broken<BlamingMistake> {
  readonly system: BlamingOptions
}

/** Of who is at fault: see blaming.ts. */
export const brokenBlames: readonly BrokenBlame[] = [
  {
    mistake: 'charge-an-outage',
    system: { topics: oneTopic, culprit: nobody, faults: 1 },
    property: innocent,
    steps: 11,
  },
  {
    mistake: 'blame-the-whole-batch',
    system: { topics: oneTopic, culprit: 0, faults: 0 },
    property: innocent,
    steps: 10,
  },
  {
    mistake: 'proof-from-another-topic',
    system: { topics: oneElsewhere, culprit: nobody, faults: 1 },
    property: innocent,
    steps: 21,
  },
]
