import type { History } from '../history/history.ts'

/** The messages that waited longest from commit to first publish, for a look at what held them up. */
export function slowest({ committed, publications }: History): string[] {
  const first = new Map(publications.toReversed().map((publication) => [publication.id, publication]))
  return committed
    .flatMap(({ id, lane, atMs }) => {
      const publication = first.get(id)
      return publication === undefined ? [] : [{ ...publication, lane, atMs, waitedMs: publication.startedAtMs - atMs }]
    })
    .sort((a, b) => b.waitedMs - a.waitedMs)
    .slice(0, 8)
    .map(
      ({ id, lane, relay, waitedMs, atMs }) =>
        `${id} lane ${String(lane)} ${relay} ${String(Math.round(waitedMs))} ms from ${String(Math.round(atMs))}`,
    )
}
