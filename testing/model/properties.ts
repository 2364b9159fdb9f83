import { between, bit, has, isEmpty, type State } from './state.ts'

/** What must hold in every state, or undefined. */
export function brokenProperty(state: State): string | undefined {
  for (const [index, relay] of state.relays.entries()) {
    if (!relay.owns || relay.isExpired) continue
    if (state.owner !== index || state.fence !== relay.fence) return 'a lane with two unfenced owners'
    const live = state.writers.find((writer) => writer.phase === 'drawn' && writer.seq <= relay.floor)
    if (live !== undefined) return "a floor above a live writer's seq"
  }
  return undefined
}

/** What must hold when this relay begins a publish, or undefined. */
export function brokenByTaking(state: State, relay: number): string | undefined {
  const isOwner = state.owner === relay && state.fence === state.relays[relay]?.fence
  return isOwner ? undefined : 'a publish that began without owning the lane'
}

/** What must hold when `seq` reaches the broker, or undefined. */
export function brokenByPublishing(state: State, seq: number): string | undefined {
  if (has(state.unbacked, seq)) return 'a message published whose transaction has not committed'
  if (has(state.published, seq))
    return has(state.excused, seq)
      ? undefined
      : 'a message published twice although nothing failed while it was in flight'
  if (!has(state.keyed, seq)) return undefined
  const earlier = state.rows & state.keyed & ~state.published & (bit(seq) - 1)
  if (!isEmpty(earlier)) return 'a message published before an earlier one of its key'
  const later = between(state.published & state.keyed, seq, 30)
  return isEmpty(later) ? undefined : 'a message published after a later one of its key'
}

/** What must hold when `seq` leaves the table, or undefined. */
export function brokenBySettling(state: State, seq: number): string | undefined {
  return has(state.published, seq) ? undefined : 'a message settled that no broker has'
}
