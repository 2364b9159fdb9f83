/**
 * Which offsets of a partition were taken and which are finished, in whatever order. Pure. Kafka knows one position for a
 * partition, so only what is finished without a gap may be committed.
 */
export interface Progress {
  /** Notes an offset as taken. Offsets grow, with gaps where the log was compacted. */
  take(offset: bigint): void
  finish(offset: bigint): void
  /** One after the last taken; null when none was. */
  readonly next: bigint | null
  /** One after the last of the finished without a gap: everything before it is done. Null when that is nothing. */
  readonly finished: bigint | null
  /** Taken and not finished, or finished behind a gap. */
  readonly open: number
}

export function createProgress(): Progress {
  const taken = new Map<bigint, 'open' | 'finished'>()
  let next: bigint | null = null
  let finished: bigint | null = null
  return {
    get next() {
      return next
    },
    get finished() {
      return finished
    },
    get open() {
      return taken.size
    },
    take: (offset) => {
      taken.set(offset, 'open')
      next = offset + 1n
    },
    finish: (offset) => {
      taken.set(offset, 'finished')
      for (const [first, state] of taken) {
        if (state === 'open') break
        taken.delete(first)
        finished = first + 1n
      }
    },
  }
}
