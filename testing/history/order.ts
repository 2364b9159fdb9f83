import { described, type Violation, violation } from './violation.ts'
import type { Committed, History, Publication } from './history.ts'

/** First occurrences of one key arrive in the order the writers counted. A later repeat of an older message breaks nothing. */
export function orderViolations(history: History, committed: ReadonlyMap<string, Committed>): Violation[] {
  const publications = Map.groupBy(history.publications, ({ id }) => id)
  return overtaken(history.arrivals, committed).map(({ late, before, first }) =>
    violation(
      'out-of-order',
      `${described(late)} first arrived at ${rounded(first.atMs)}, after ${described(before)}; ` +
        `the late one: ${timesOf(publications.get(late.id))}; the other: ${timesOf(publications.get(before.id))}`,
    ),
  )
}

/**
 * A broker takes a message of a key only after it took every earlier one. Sees a relay's or a publisher's fault that a broker's
 * or a consumer's delay happened to hide, and tells it from theirs. A publish nobody answered may have been taken.
 */
export function publicationOrderViolations(history: History, committed: ReadonlyMap<string, Committed>): Violation[] {
  const taken = history.publications.filter(({ answer }) => answer !== 'refused')
  return overtaken(taken, committed).map(({ late, before, first }) =>
    violation(
      'published-out-of-order',
      `${described(late)} was first taken in a publish by ${first.relay} at ${rounded(first.startedAtMs)}, after ${described(before)}`,
    ),
  )
}

interface Overtaken<Event> {
  readonly late: Committed
  /** The event in which the late one occurred for the first time. */
  readonly first: Event
  /** A later message of its key that had occurred by then. */
  readonly before: Committed
}

function overtaken<Event extends { readonly id: string }>(
  events: readonly Event[],
  committed: ReadonlyMap<string, Committed>,
): Overtaken<Event>[] {
  const latest = new Map<string, Committed>()
  const seen = new Set<string>()
  return events.flatMap((first) => {
    const message = committed.get(first.id)
    if (message === undefined || message.key === null || seen.has(first.id)) return []
    seen.add(first.id)
    const before = latest.get(message.key)
    if (before !== undefined && before.place > message.place) return [{ late: message, first, before }]
    latest.set(message.key, message)
    return []
  })
}

const rounded = (ms: number): string => String(Math.round(ms))

function timesOf(publications: readonly Publication[] = []): string {
  const told = publications.map(
    ({ relay, startedAtMs, answer, settledAtMs }) =>
      `published by ${relay} at ${rounded(startedAtMs)} (${answer}, settled ${settledAtMs === null ? 'never' : rounded(settledAtMs)})`,
  )
  return told.length === 0 ? 'never published' : told.join(', ')
}
