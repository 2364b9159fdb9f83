import { described, type Violation, violation } from './violation.ts'
import type { Committed, Fault, History, OwnershipChange, Publication } from './history.ts'

/** A message may be published again only when an earlier publication of it was in flight (begun, not settled) during a fault. */
export function duplicateViolations(history: History): Violation[] {
  const byId = Map.groupBy(history.publications, ({ id }) => id)
  return [...byId.values()].flatMap((publications) =>
    publications.slice(1).flatMap((repeat, index) => {
      const earlier = publications.slice(0, index + 1).filter(({ answer }) => answer !== 'refused')
      const unexplained =
        earlier.length > 0 &&
        !earlier.some((first) => history.faults.some((fault) => wasInFlight(first, repeat, fault)))
      return unexplained ? [violation('duplicate-without-fault', repeated(earlier[0] as Publication, repeat))] : []
    }),
  )
}

/**
 * Relays do not wait for the disk when they settle, so a crash of the server undoes what the WAL writer had not flushed yet: three
 * rounds of 200 ms by PostgreSQL's documentation (asynchronous commit), and more on a busy machine.
 */
const flushedWithinMs = 2_000

/** What an operator does by hand is no reason to publish anything twice. */
const excusesNothing: ReadonlySet<string> = new Set(['pause-topic', 'hold-key'])

function wasInFlight(first: Publication, repeat: Publication, fault: Fault): boolean {
  if (excusesNothing.has(fault.kind)) return false
  const touches = fault.relay === null || fault.relay === first.relay || fault.relay === repeat.relay
  const keptForMs = fault.kind === 'restart-postgres-immediate' ? flushedWithinMs : 0
  const endedBefore = first.settledAtMs !== null && first.settledAtMs < fault.startedAtMs - keptForMs
  return touches && !endedBefore && first.startedAtMs <= fault.endedAtMs && fault.startedAtMs <= repeat.startedAtMs
}

const repeated = (first: Publication, repeat: Publication): string =>
  `${first.id} was published by ${first.relay} at ${String(Math.round(first.startedAtMs))} (settled ${
    first.settledAtMs === null ? 'never' : `at ${String(Math.round(first.settledAtMs))}`
  }) and again by ${repeat.relay} at ${String(Math.round(repeat.startedAtMs))}`

/**
 * A publish must begin while its relay owns the lane. Exceptions are a process paused between its
 * check and its send, and relays whose row and lanes were emptied away: they hear of it when they renew.
 */
export function zombieViolations(history: History, committed: ReadonlyMap<string, Committed>): Violation[] {
  const byLane = Map.groupBy(history.ownerships, ({ lane }) => lane)
  return history.publications.flatMap((publication) => {
    const message = committed.get(publication.id)
    if (message === undefined) return []
    const changes = byLane.get(message.lane) ?? []
    if (owned(changes, publication) || wasPaused(history, publication)) return []
    return [
      violation(
        'published-without-the-lane',
        `${publication.relay} published ${described(message)} at ${String(Math.round(publication.startedAtMs))} without owning its lane`,
      ),
    ]
  })
}

/** Two clocks tell of one instant: the database's for ownership, the relay's for the publish. */
const clockToleranceMs = 100

function owned(changes: readonly OwnershipChange[], { relay, startedAtMs }: Publication): boolean {
  return changes.some((change, index) => {
    if (change.to !== relay || change.atMs - clockToleranceMs > startedAtMs) return false
    const until = changes.slice(index + 1).find((later) => later.to !== null)?.atMs ?? Infinity
    return startedAtMs <= until + clockToleranceMs
  })
}

const wasPaused = (history: History, { relay, startedAtMs }: Publication): boolean =>
  history.faults.some(
    (fault) =>
      (fault.relay === relay || fault.kind === 'truncate') &&
      fault.startedAtMs <= startedAtMs + clockToleranceMs &&
      startedAtMs <= fault.endedAtMs + 1_000,
  )
