import type { Step } from './explore.ts'
import { brokenByPublishing, brokenBySettling, brokenByTaking } from './properties.ts'
import type { ProtocolOptions } from './protocol.ts'
import { bit, emptyMemory, has, isEmpty, lowest, members, noSeq, type RelayMemory, type State } from './state.ts'

type MakeStep = (what: string, memory: Partial<RelayMemory>, also?: Partial<State>) => Step<State>

/** Check the lease · send · hear the answer and settle, or a fenced retry · due again. */
export function publishingSteps(state: State, index: number, options: ProtocolOptions): Step<State>[] {
  const relay = state.relays[index] as RelayMemory
  const step: MakeStep = (what, memory, also = {}) => ({
    name: `relay ${String(index + 1)} ${what}`,
    next: { ...state, ...also, relays: state.relays.with(index, { ...relay, ...memory }) },
    isProgress: true,
  })
  const unacknowledged = options.mistake === 'settle-before-acknowledgement' ? relay.checked : 0
  return [
    ...checkSteps(state, index, options, step),
    ...members(relay.checked).flatMap((seq) => sendSteps(state, relay, seq, step)),
    ...members(relay.sent).flatMap((seq) => lostAnswerSteps(state, relay, seq, step)),
    ...members(relay.sent | unacknowledged).map((seq) => settleStep(state, relay, seq, options, step)),
    ...members(relay.failed).map((seq) => retryStep(state, index, seq, options, step)),
    ...members(relay.failed).flatMap((seq) => outageStep(relay, seq, step)),
    ...dueSteps(state, relay, step),
    ...goneSteps(state, relay, options, step),
  ]
}

function checkSteps(state: State, index: number, options: ProtocolOptions, step: MakeStep): Step<State>[] {
  const relay = state.relays[index] as RelayMemory
  const mayPublish = relay.owns && (!relay.isExpired || options.mistake === 'publish-after-the-lease')
  if (!mayPublish) return []
  // What the broker has is out of the way, settled or not: the next of its key follows at once.
  let keyIsBusy = !isEmpty(state.keyed & (relay.checked | relay.failed))
  if (options.mistake === 'send-behind-an-unaccepted-message') keyIsBusy = false
  const waitsBefore = (seq: number): boolean =>
    options.mistake !== 'send-behind-an-unaccepted-message' && !isEmpty(relay.waiting) && lowest(relay.waiting) < seq
  const next = relay.buffer.find((seq) => !has(state.keyed, seq) || (!keyIsBusy && !waitsBefore(seq)))
  if (next === undefined) return []
  const buffer = relay.buffer.filter((seq) => seq !== next)
  const taken = step(`checks its lease and takes ${String(next)}`, { buffer, checked: relay.checked | bit(next) })
  return [{ ...taken, violation: brokenByTaking(state, index) }]
}

function sendSteps(state: State, relay: RelayMemory, seq: number, step: MakeStep): Step<State>[] {
  const checked = relay.checked & ~bit(seq)
  const published = state.published | bit(seq)
  const sent = {
    ...step(`publishes ${String(seq)}`, { checked, sent: relay.sent | bit(seq) }, { published }),
    violation: brokenByPublishing(state, seq),
  }
  if (state.faultsLeft === 0) return [sent]
  const refused = step(
    `is refused ${String(seq)} by the broker`,
    { checked, failed: relay.failed | bit(seq) },
    { faultsLeft: state.faultsLeft - 1 },
  )
  return [sent, { ...refused, isProgress: false }]
}

function lostAnswerSteps(state: State, relay: RelayMemory, seq: number, step: MakeStep): Step<State>[] {
  if (state.faultsLeft === 0) return []
  const lost = step(
    `loses the answer for ${String(seq)}`,
    { sent: relay.sent & ~bit(seq), failed: relay.failed | bit(seq) },
    { excused: state.excused | bit(seq), faultsLeft: state.faultsLeft - 1 },
  )
  return [{ ...lost, isProgress: false }]
}

/** Deletes the row: no fence, it only ever follows an acknowledgement. */
function settleStep(
  state: State,
  relay: RelayMemory,
  seq: number,
  options: ProtocolOptions,
  step: MakeStep,
): Step<State> {
  const gone = ~bit(seq)
  const settled = step(
    `settles ${String(seq)}`,
    { sent: relay.sent & gone, checked: relay.checked & gone, ...forgotten(relay, seq, options) },
    { rows: state.rows & gone, waitingRows: state.waitingRows & gone },
  )
  return { ...settled, violation: brokenBySettling(state, seq) }
}

/** A settled seq stays known until the read under way has ended. A key that waited for it goes on from what was passed over. */
function forgotten(relay: RelayMemory, seq: number, options: ProtocolOptions): Partial<RelayMemory> {
  const stays = relay.reading !== -1 && options.mistake !== 'forget-settled-at-once'
  const waiting = relay.waiting & ~bit(seq)
  const unblocks = !isEmpty(relay.waiting) && isEmpty(waiting)
  return {
    waiting,
    known: stays ? relay.known : relay.known & ~bit(seq),
    settledDuringRead: stays ? relay.settledDuringRead | bit(seq) : relay.settledDuringRead,
    rereadFrom: unblocks ? Math.min(relay.rereadFrom, relay.skipped) : relay.rereadFrom,
    skipped: unblocks ? noSeq : relay.skipped,
  }
}

/** Marks the row as waiting, fenced. Refused by the fence, the relay knows that the lane is no longer its own. */
function retryStep(state: State, index: number, seq: number, options: ProtocolOptions, step: MakeStep): Step<State> {
  const relay = state.relays[index] as RelayMemory
  const failed = relay.failed & ~bit(seq)
  const isOwner = state.owner === index && state.fence === relay.fence
  if (!isOwner && options.mistake !== 'retry-without-fence')
    return step(`is fenced off ${String(seq)}`, { ...emptyMemory, ...inFlightOf(relay), failed, isExpired: true })
  const known = relay.known & ~bit(seq)
  const waiting = has(state.keyed, seq) ? relay.waiting | bit(seq) : relay.waiting
  const waitingRows = state.waitingRows | (bit(seq) & state.rows)
  return step(`schedules a retry of ${String(seq)}`, { failed, known, waiting }, { waitingRows })
}

/** The broker is to blame, not the message: it goes back to its place in the memory, and the table hears nothing of it. */
function outageStep(relay: RelayMemory, seq: number, step: MakeStep): Step<State>[] {
  if (!relay.owns || relay.isExpired) return []
  const buffer = [...relay.buffer, seq].sort((a, b) => a - b)
  return [step(`keeps ${String(seq)} until the outage ends`, { failed: relay.failed & ~bit(seq), buffer })]
}

const inFlightOf = ({ owns, fence, checked, sent }: RelayMemory): Partial<RelayMemory> => ({
  owns,
  fence,
  checked,
  sent,
})

/** A waiting message is due: it goes first. Its key stays blocked until it is settled. */
function dueSteps(state: State, relay: RelayMemory, step: MakeStep): Step<State>[] {
  if (!relay.owns || relay.isExpired) return []
  return members(state.waitingRows & ~relay.known).map((seq) => {
    const waiting = has(state.keyed, seq) ? relay.waiting | bit(seq) : relay.waiting
    return step(`finds ${String(seq)} due`, { buffer: [seq, ...relay.buffer], known: relay.known | bit(seq), waiting })
  })
}

/** A key waits for a message that is no longer in the table: a zombie's late acknowledgement settled it. Nothing will ever be due. */
function goneSteps(state: State, relay: RelayMemory, options: ProtocolOptions, step: MakeStep): Step<State>[] {
  if (!relay.owns || relay.isExpired || options.mistake === 'wait-for-a-settled-message') return []
  const gone = relay.waiting & ~state.rows & ~relay.known
  return members(gone).map((seq) => step(`finds the waiting ${String(seq)} gone`, forgotten(relay, seq, options)))
}
