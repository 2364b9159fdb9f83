import type { Step } from './explore.ts'
import type { ProtocolOptions } from './protocol.ts'
import {
  between,
  bit,
  type Bits,
  has,
  highest,
  isEmpty,
  members,
  noSeq,
  type RelayMemory,
  type State,
} from './state.ts'
import { lockHolders, snapshotXmax, snapshotXmin } from './writing.ts'

type MakeStep = (what: string, memory: Partial<RelayMemory>) => Step<State>

/** A read takes its snapshot in one step and is processed in another; in between anything may happen. */
export function readingSteps(state: State, index: number, options: ProtocolOptions): Step<State>[] {
  const relay = state.relays[index] as RelayMemory
  if (!relay.owns || relay.isExpired) return []
  const step: MakeStep = (what, memory) => ({
    name: `relay ${String(index + 1)} ${what}`,
    next: { ...state, relays: state.relays.with(index, { ...relay, ...memory }) },
    isProgress: true,
  })
  return options.floor === 'barrier'
    ? barrierSteps(state, relay, options, step)
    : openWritersSteps(state, relay, options, step)
}

/** Lock barrier: the floor moves up after a complete read that began when every holder had ended. */
function barrierSteps(state: State, relay: RelayMemory, options: ProtocolOptions, step: MakeStep): Step<State>[] {
  const byXmin = options.mistake === 'floor-by-xmin'
  if (relay.reading === -1) {
    const holdersEnded = byXmin ? snapshotXmin(state) >= relay.holders : relay.holders === 0
    const raisesFloor = relay.holders !== -1 && holdersEnded
    const low = options.mistake === 'forward-only-position' ? relay.position : relay.floor
    const read = snapshot(state, relay, low, options)
    const changesNothing = isEmpty(read.rows) && !raisesFloor && relay.rereadFrom === noSeq
    const steps = changesNothing
      ? []
      : [
          step('reads', {
            reading: read.rows,
            raisesFloor: raisesFloor && read.isComplete,
            rereadFrom: read.isComplete ? noSeq : relay.rereadFrom,
          }),
        ]
    const seen = byXmin ? snapshotXmax(state) : lockHolders(state)
    const holders = relay.holders === -1 || byXmin ? seen : relay.holders & seen
    if (relay.holders === -1 && relay.position > relay.floor)
      steps.push(step('notes who holds the table', { holders, candidate: relay.position }))
    else if (!byXmin && relay.holders !== -1 && holders !== relay.holders)
      steps.push(step('looks again who holds the table', { holders }))
    return steps
  }
  const raised = relay.raisesFloor ? { floor: relay.candidate, holders: -1, candidate: 0 } : {}
  return [step('takes in what it read', { ...enqueued(state, relay, relay.reading), ...raised, raisesFloor: false })]
}

/**
 * Open writers: after each read, look who holds the table. Whoever held it before and has ended may have committed below the
 * position: read that part again before anything is enqueued.
 */
function openWritersSteps(state: State, relay: RelayMemory, options: ProtocolOptions, step: MakeStep): Step<State>[] {
  const looksFirst = options.mistake === 'look-for-holders-before-reading'
  if (relay.reading === -1) {
    const low = looksFirst ? Math.min(relay.previousPosition, relay.lateFrom) : relay.previousPosition
    const read = snapshot(state, relay, low, options)
    const looked = look(state, relay, relay.position, options)
    const isSettled = relay.previousPosition === relay.position && relay.rereadFrom === noSeq
    if (isEmpty(read.rows) && isSettled && !looked.changes && relay.lateFrom === noSeq) return []
    const advanced = {
      previousPosition: read.isComplete ? relay.position : relay.previousPosition,
      position: Math.max(relay.position, highest(read.rows)),
      rereadFrom: read.isComplete ? noSeq : relay.rereadFrom,
      candidate: options.mistake === 'late-read-skipped' ? low : 0,
    }
    const steps = [step('reads', { reading: read.rows, ...advanced })]
    if (looksFirst && looked.changes) steps.push(step('looks who holds the table', looked.memory))
    return steps
  }
  if (looksFirst) return [step('takes in what it read', { ...enqueued(state, relay, relay.reading), lateFrom: noSeq })]
  if (relay.lateFrom === noSeq) {
    const { memory } = look(state, relay, relay.previousPosition, options)
    if (memory.lateFrom !== noSeq) return [step('looks who holds the table: an open writer has ended', memory)]
    return [
      step('looks who holds the table, takes in what it read', { ...memory, ...enqueued(state, relay, relay.reading) }),
    ]
  }
  const late = between(state.rows & ~state.waitingRows & ~relay.known, relay.lateFrom, relay.position)
  return [
    step('reads the late part, takes in both', { ...enqueued(state, relay, relay.reading | late), lateFrom: noSeq }),
  ]
}

interface Snapshot {
  readonly rows: Bits
  /** No part came back full. */
  readonly isComplete: boolean
}

/** Everything committed above `low`, not known, not waiting: the late part up to the position, and what is new. */
function snapshot(state: State, relay: RelayMemory, low: number, options: ProtocolOptions): Snapshot {
  const limit = options.readLimit ?? 30
  const excluded = options.mistake === 'forget-settled-at-once' ? 0 : relay.known
  const unseen = state.rows & ~state.waitingRows & ~excluded
  const from = Math.min(low, relay.rereadFrom - 1)
  const late = members(between(unseen, from, relay.position)).slice(0, limit)
  const fresh = members(between(unseen, relay.position, 30)).slice(0, limit)
  const isComplete = late.length < limit
  // Behind a late part that was cut off there may be an earlier message of a key whose later one is in the new part.
  const takesFresh = isComplete || options.mistake === 'enqueue-behind-a-truncated-late-part'
  return { rows: [...late, ...(takesFresh ? fresh : [])].reduce((rows, seq) => rows | bit(seq), 0), isComplete }
}

/** Who holds the table now: the open writers that ended say from where to read again; each new holder is one above `lo`. */
function look(
  state: State,
  relay: RelayMemory,
  lo: number,
  options: ProtocolOptions,
): { readonly changes: boolean; readonly memory: Pick<RelayMemory, 'openWriters' | 'lateFrom'> } {
  const holders = lockHolders(state)
  const alive = relay.openWriters.filter((writer) => has(holders, writer.transaction))
  const ended = relay.openWriters.filter((writer) => !has(holders, writer.transaction))
  const isNew = (transaction: number): boolean => !alive.some((writer) => writer.transaction === transaction)
  const added = members(holders)
    .filter(isNew)
    .map((transaction) => ({ transaction, lo }))
  const skipsLateRead = (writer: { lo: number }): boolean =>
    options.mistake === 'late-read-skipped' && writer.lo >= relay.candidate
  const late = ended.filter((writer) => !skipsLateRead(writer)).map((writer) => writer.lo)
  return {
    changes: ended.length + added.length > 0,
    memory: { openWriters: [...alive, ...added], lateFrom: Math.min(noSeq, relay.lateFrom, ...late) },
  }
}

/** Sorted by seq, without what is known; messages of a key that waits are passed over and remembered. */
function enqueued(state: State, relay: RelayMemory, rows: Bits): Partial<RelayMemory> {
  const keyWaits = !isEmpty(relay.waiting)
  const unseen = members(rows & ~relay.known)
  const passed = unseen.filter((seq) => keyWaits && has(state.keyed, seq))
  const taken = unseen.filter((seq) => !passed.includes(seq))
  return {
    reading: -1,
    position: Math.max(relay.position, highest(rows)),
    buffer: [...relay.buffer, ...taken],
    known: taken.reduce((known, seq) => known | bit(seq), relay.known) & ~relay.settledDuringRead,
    settledDuringRead: 0,
    skipped: Math.min(relay.skipped, ...passed, noSeq),
  }
}
