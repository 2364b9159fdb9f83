import { described, type Violation, violation } from './violation.ts'
import type { Committed, History } from './history.ts'

/** First occurrences of one key arrive in the order the writers counted. A later repeat of an older message breaks nothing. */
export function orderViolations(history: History, committed: ReadonlyMap<string, Committed>): Violation[] {
  const latest = new Map<string, Committed>()
  const seen = new Set<string>()
  const violations: Violation[] = []
  for (const { id, atMs } of history.arrivals) {
    const message = committed.get(id)
    if (message === undefined || message.key === null || seen.has(id)) continue
    seen.add(id)
    const before = latest.get(message.key)
    if (before !== undefined && before.place > message.place)
      violations.push(
        violation(
          'out-of-order',
          `${described(message)} first arrived at ${String(Math.round(atMs))}, after ${described(before)}`,
        ),
      )
    else latest.set(message.key, message)
  }
  return violations
}
