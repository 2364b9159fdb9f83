import type { Fault } from '../history/history.ts'
import type { Entry } from './journal.ts'

/** Consumers need so long to take over from one that was killed: Kafka waits for its session to end. */
const takenOverMs = 10_000

/**
 * How long after the end of each outage of what consumers need they went on, in milliseconds, by kind of outage: applied a message
 * again, or put a dead letter away. An outage whose end falls together with another fault tells nothing and is left out.
 */
export function resumptionOf(
  faults: readonly Fault[],
  journals: ReadonlyMap<string, readonly Entry[]>,
): Readonly<Record<string, readonly number[]>> {
  const entries = [...journals.values()].flat()
  const signs: Record<string, readonly Entry[]> = {
    'handler-database-away': entries.filter(({ what }) => what === 'applied'),
    'dead-letters-away': entries.filter(
      (entry) => entry.what === 'consumer-event' && entry.event === 'message.dead-lettered',
    ),
  }
  return Object.fromEntries(
    Object.entries(signs).map(([kind, found]) => {
      const ends = faults.filter((fault) => fault.kind === kind && isAlone(fault, faults))
      return [kind, ends.flatMap(({ endedAtMs }) => firstAfter(endedAtMs, found) ?? [])]
    }),
  )
}

function isAlone(outage: Fault, faults: readonly Fault[]): boolean {
  const [fromMs, toMs] = [outage.endedAtMs - takenOverMs, outage.endedAtMs + 2_000]
  return faults.every((one) => one === outage || one.endedAtMs < fromMs || one.startedAtMs > toMs)
}

function firstAfter(atMs: number, entries: readonly Entry[]): number | null {
  const later = entries.flatMap((entry) => (entry.atMs >= atMs ? [entry.atMs - atMs] : []))
  return later.length === 0 ? null : Math.round(later.reduce((least, one) => Math.min(least, one)))
}
