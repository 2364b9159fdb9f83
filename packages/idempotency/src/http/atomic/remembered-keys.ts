/** Of each half: as many as are asked for again before they are forgotten, in a few megabytes. */
const limit = 5_000

/**
 * Keys of which this process has seen a record, the latest of them. A hint and nothing else: who finds no record any more claims the key,
 * and who is not remembered here may have one all the same, of another process.
 */
export interface RememberedKeys {
  has(mark: string): boolean
  add(mark: string): void
  forget(mark: string): void
}

/**
 * Forgets by halves: the oldest of a set is found behind the places of all that were deleted before it, which cost each first request
 * as much as its digests.
 */
export function createRememberedKeys(): RememberedKeys {
  let latest = new Set<string>()
  let before = new Set<string>()
  return {
    has: (mark) => latest.has(mark) || before.has(mark),
    add: (mark) => {
      if (latest.size >= limit) [before, latest] = [latest, new Set()]
      latest.add(mark)
    },
    forget: (mark) => {
      latest.delete(mark)
      before.delete(mark)
    },
  }
}
