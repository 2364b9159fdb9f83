import type { Model, Step } from './explore.ts'
import { readingSteps } from './reading.ts'
import { ownershipSteps } from './ownership.ts'
import { publishingSteps } from './publishing.ts'
import { brokenProperty } from './properties.ts'
import { emptyMemory, isEmpty, nobody, type State, stateKey } from './state.ts'
import { writerSteps } from './writing.ts'

/** Mistakes that were made, or nearly made, while the protocol was designed. Each must be caught. */
export type Mistake =
  | 'retry-without-fence'
  | 'forward-only-position'
  | 'floor-by-xmin'
  | 'read-in-the-locking-statement'
  | 'forget-settled-at-once'
  | 'settle-before-acknowledgement'
  | 'send-behind-an-unaccepted-message'
  | 'late-read-skipped'
  | 'look-for-holders-before-reading'
  | 'new-owner-ignores-waiting-keys'
  | 'hand-over-with-unsettled-messages'
  | 'publish-after-the-lease'
  | 'enqueue-behind-a-truncated-late-part'
  | 'wait-for-a-settled-message'
  | 'add-outside-the-transaction'
  | 'take-a-lane-that-is-owned'

export interface ProtocolOptions {
  /** For each writer, for each of its transactions: whether its one message has the ordering key. */
  readonly writers: readonly (readonly boolean[])[]
  readonly relays: number
  readonly floor: 'barrier' | 'open-writers'
  /** Faults and free choices in one history: crash, expired lease, failed publish, lost answer, rollback, hand-over. */
  readonly faults: number
  /** Most rows in each part of a read. Default: no limit. */
  readonly readLimit?: number
  readonly mistake?: Mistake
}

/** Writers, relays, database and broker of one lane, as a system of atomic steps. A paused process is one whose steps do not come. */
export function createProtocol(options: ProtocolOptions): Model<State> {
  const initial: State = {
    writers: options.writers.map(() => ({ transaction: 0, phase: 'idle', seq: 0, xid: 0 })),
    nextSeq: 1,
    nextXid: 1,
    latestCompletedXid: 0,
    rows: 0,
    keyed: 0,
    waitingRows: 0,
    unbacked: 0,
    owner: nobody,
    fence: 0,
    relays: Array.from({ length: options.relays }, () => emptyMemory),
    published: 0,
    excused: 0,
    faultsLeft: options.faults,
  }
  const relayNumbers = initial.relays.map((_, relay) => relay)
  return {
    initial,
    key: stateKey,
    isDone: (state) =>
      isEmpty(state.rows) &&
      state.writers.every((writer, index) => writer.transaction === options.writers[index]?.length),
    steps: (state) =>
      [
        ...writerSteps(state, options),
        ...relayNumbers.flatMap((relay) => [
          ...ownershipSteps(state, relay, options),
          ...readingSteps(state, relay, options),
          ...publishingSteps(state, relay, options),
        ]),
      ].map((step) => judged(step)),
  }
}

function judged(step: Step<State>): Step<State> {
  const violation = step.violation ?? brokenProperty(step.next)
  return violation === undefined ? step : { ...step, violation }
}
