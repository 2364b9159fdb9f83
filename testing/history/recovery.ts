import type { Committed, Fault, History } from './history.ts'

export interface Recovery {
  readonly p50: number
  readonly max: number
}

/**
 * For each kind of fault: from when it could heal to the first publish in each of its lanes. A lane whose next message was added
 * much later says nothing and is left out.
 */
export function recoveryOf(history: History, committed: ReadonlyMap<string, Committed>): Record<string, Recovery> {
  const lanes = Map.groupBy(firstPublications(history, committed), ({ lane }) => lane)
  const waits = new Map<string, number[]>()
  for (const fault of history.faults) {
    const found = fault.lanes.flatMap((lane) => waitOf(lanes.get(lane) ?? [], fault))
    waits.set(fault.kind, [...(waits.get(fault.kind) ?? []), ...found])
  }
  return Object.fromEntries(
    [...waits].filter(([, found]) => found.length > 0).map(([kind, found]) => [kind, spread(found)]),
  )
}

interface FirstPublication {
  readonly lane: number
  readonly addedAtMs: number
  readonly startedAtMs: number
}

/** In the order they began. */
function firstPublications(history: History, committed: ReadonlyMap<string, Committed>): FirstPublication[] {
  const seen = new Set<string>()
  return history.publications.flatMap(({ id, startedAtMs }) => {
    const message = committed.get(id)
    if (message === undefined || seen.has(id)) return []
    seen.add(id)
    return [{ lane: message.lane, addedAtMs: message.atMs, startedAtMs }]
  })
}

/** A message added later than this after the fault says nothing: the lane may have recovered long before. */
const witnessMs = 1_000

function waitOf(publications: readonly FirstPublication[], { healsFromMs }: Fault): number[] {
  const next = publications.find((one) => one.startedAtMs > healsFromMs)
  return next === undefined || next.addedAtMs > healsFromMs + witnessMs ? [] : [next.startedAtMs - healsFromMs]
}

function spread(waits: readonly number[]): Recovery {
  const sorted = [...waits].sort((a, b) => a - b)
  return { p50: Math.round(sorted[Math.floor(sorted.length / 2)] as number), max: Math.round(sorted.at(-1) as number) }
}
