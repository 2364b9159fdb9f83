import type { Committed, Fault, History } from './history.ts'

export interface Recovery {
  readonly p50: number
  readonly max: number
}

/**
 * For each kind of fault: from its start to the first message published in each of its lanes. Includes the wait for
 * a message of that lane, so it is an upper bound. A lane nobody wrote to any more says nothing.
 */
export function recoveryOf(history: History, committed: ReadonlyMap<string, Committed>): Record<string, Recovery> {
  const byLane = Map.groupBy(history.publications, ({ id }) => committed.get(id)?.lane ?? -1)
  const starts = new Map([...byLane].map(([lane, publications]) => [lane, sortedStarts(publications)]))
  const waits = new Map<string, number[]>()
  for (const fault of history.faults) {
    const found = fault.lanes.flatMap((lane) => waitOf(starts.get(lane) ?? [], fault))
    waits.set(fault.kind, [...(waits.get(fault.kind) ?? []), ...found])
  }
  return Object.fromEntries(
    [...waits].filter(([, found]) => found.length > 0).map(([kind, found]) => [kind, spread(found)]),
  )
}

const sortedStarts = (publications: readonly { readonly startedAtMs: number; readonly relay: string }[]): Start[] =>
  publications.map(({ startedAtMs, relay }) => ({ startedAtMs, relay })).sort((a, b) => a.startedAtMs - b.startedAtMs)

interface Start {
  readonly startedAtMs: number
  readonly relay: string
}

function waitOf(starts: readonly Start[], { startedAtMs }: Fault): number[] {
  const next = starts.find((start) => start.startedAtMs > startedAtMs)
  return next === undefined ? [] : [next.startedAtMs - startedAtMs]
}

function spread(waits: readonly number[]): Recovery {
  const sorted = [...waits].sort((a, b) => a - b)
  return { p50: Math.round(sorted[Math.floor(sorted.length / 2)] as number), max: Math.round(sorted.at(-1) as number) }
}
