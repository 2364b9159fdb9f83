import type { Fault } from '../history/history.ts'
import type { Entry } from './journal.ts'

/** Consumers need so long to take over from one that was killed: Kafka waits for its session to end. */
const takenOverMs = 10_000

/** Somebody who waits tries again within a second. */
const waitingMs = 2_000

/** What tells, in the journals, that somebody waits for the end of an outage, and that it goes on. */
interface Signs {
  readonly waits: (entry: Entry) => boolean
  readonly goesOn: (entry: Entry) => boolean
}

const isEvent =
  (event: string) =>
  (entry: Entry): boolean =>
    entry.what === 'consumer-event' && entry.event === event

const signsOf: Readonly<Record<string, Signs>> = {
  'handler-database-away': { waits: isEvent('message.outage'), goesOn: ({ what }) => what === 'applied' },
  'dead-letters-away': { waits: isEvent('message.dead-letter-failed'), goesOn: isEvent('message.dead-lettered') },
}

/**
 * How long after the end of each outage of what consumers need they went on, in milliseconds, by kind of outage: applied a message
 * again, or put a dead letter away. Left out are outages at whose end nobody waited, and those whose end falls together with another
 * fault: they tell nothing.
 */
export function resumptionOf(
  faults: readonly Fault[],
  journals: ReadonlyMap<string, readonly Entry[]>,
): Readonly<Record<string, readonly number[]>> {
  const entries = [...journals.values()].flat()
  return Object.fromEntries(
    Object.entries(signsOf).map(([kind, signs]) => {
      const waits = entries.filter(signs.waits)
      const goesOn = entries.filter(signs.goesOn)
      const ends = faults.filter(
        (fault) => fault.kind === kind && isAlone(fault, faults) && isWaitedFor(fault.endedAtMs, waits),
      )
      return [kind, ends.flatMap(({ endedAtMs }) => firstAfter(endedAtMs, goesOn) ?? [])]
    }),
  )
}

/** In a shorter outage a busy machine alone explains that nobody was refused. */
const judgedFromMs = 10_000

/**
 * Outages of what consumers need, of ten seconds or more, in whose second half something went through and nobody was refused: the fault did nothing, and what it
 * would have shown is not shown.
 */
export function hollowOutages(
  faults: readonly Fault[],
  journals: ReadonlyMap<string, readonly Entry[]>,
): readonly string[] {
  const entries = [...journals.values()].flat()
  return faults.flatMap((fault) => {
    const signs = signsOf[fault.kind]
    const halfMs = (fault.startedAtMs + fault.endedAtMs) / 2
    const within = entries.filter(({ atMs }) => atMs > halfMs && atMs < fault.endedAtMs)
    const isLong = fault.endedAtMs - fault.startedAtMs >= judgedFromMs
    const isHollow = isLong && signs !== undefined && within.some(signs.goesOn) && !within.some(signs.waits)
    return isHollow ? [`${fault.kind} from ${String(Math.round(fault.startedAtMs))}: it refused nobody`] : []
  })
}

function isWaitedFor(endedAtMs: number, waits: readonly Entry[]): boolean {
  return waits.some(({ atMs }) => atMs <= endedAtMs && atMs > endedAtMs - waitingMs)
}

function isAlone(outage: Fault, faults: readonly Fault[]): boolean {
  const [fromMs, toMs] = [outage.endedAtMs - takenOverMs, outage.endedAtMs + 2_000]
  return faults.every((one) => one === outage || one.endedAtMs < fromMs || one.startedAtMs > toMs)
}

function firstAfter(atMs: number, entries: readonly Entry[]): number | null {
  const later = entries.flatMap((entry) => (entry.atMs >= atMs ? [entry.atMs - atMs] : []))
  return later.length === 0 ? null : Math.round(later.reduce((least, one) => Math.min(least, one)))
}
