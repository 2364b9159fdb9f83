import type { Step } from './explore.ts'
import type { ProtocolOptions } from './protocol.ts'
import { emptyMemory, isEmpty, nobody, type RelayMemory, type State } from './state.ts'

type MakeStep = (what: string, memory: Partial<RelayMemory>, also?: Partial<State>) => Step<State>

/** Acquire (reaping a dead owner, loading the keys that wait) · rejoin, and the faults: hand-over, expired lease, crash. */
export function ownershipSteps(state: State, index: number, options: ProtocolOptions): Step<State>[] {
  const relay = state.relays[index] as RelayMemory
  const step: MakeStep = (what, memory, also = {}) => ({
    name: `relay ${String(index + 1)} ${what}`,
    next: { ...state, ...also, relays: state.relays.with(index, { ...relay, ...memory }) },
    isProgress: true,
  })
  const steps: Step<State>[] = []
  if (!relay.isExpired && !relay.owns) steps.push(...acquiringSteps(state, index, relay, options, step))
  if (relay.isExpired && isEmpty(inFlight(relay))) steps.push(step('rejoins under a new identity', emptyMemory))
  if (state.faultsLeft > 0 && relay.owns && !relay.isExpired) steps.push(...faultSteps(state, relay, options, step))
  return steps
}

function acquiringSteps(
  state: State,
  index: number,
  relay: RelayMemory,
  options: ProtocolOptions,
  step: MakeStep,
): Step<State>[] {
  const owner = state.relays[state.owner]
  const isFree = owner === undefined || owner.isExpired || !owner.owns
  if (options.mistake === 'read-in-the-locking-statement' && relay.reading === -1)
    return [step('waits for the lane, its snapshot taken', { reading: state.rows & ~state.waitingRows })]
  if (!isFree && options.mistake !== 'take-a-lane-that-is-owned') return []
  const fence = state.fence + 1
  const waiting = options.mistake === 'new-owner-ignores-waiting-keys' ? 0 : state.waitingRows & state.keyed
  return [step('acquires the lane', { owns: true, fence, waiting }, { owner: index, fence })]
}

function faultSteps(state: State, relay: RelayMemory, options: ProtocolOptions, step: MakeStep): Step<State>[] {
  const faultsLeft = state.faultsLeft - 1
  const excused = state.excused | inFlight(relay)
  const unsettled = options.mistake === 'hand-over-with-unsettled-messages' ? 0 : inFlight(relay)
  const { owns, fence, checked, sent, failed } = relay
  const buffer = options.mistake === 'publish-after-the-lease' ? relay.buffer : []
  const paused = { ...emptyMemory, owns, fence, checked, sent, failed, buffer, isExpired: true }
  const faults = [
    step('is paused past its lease', paused, { excused, faultsLeft }),
    step('crashes', emptyMemory, { excused, faultsLeft }),
  ]
  if (isEmpty(unsettled)) faults.push(step('hands the lane over', emptyMemory, { owner: nobody, faultsLeft }))
  return faults.map((fault) => ({ ...fault, isProgress: false }))
}

const inFlight = (relay: RelayMemory): number => relay.checked | relay.sent | relay.failed
