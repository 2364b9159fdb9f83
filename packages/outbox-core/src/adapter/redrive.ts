import type { DeadLetterNote } from '../dead-letter-note.ts'

/** What every adapter's `redriveDeadLetters` takes, under the same names. */
export interface RedriveOptions {
  /** Which letters go back, by what the consumer wrote on them; null for letters that no consumer of ours made. @defaultValue all that have a note */
  readonly where?: (note: DeadLetterNote | null) => boolean
  /** Counts what would go back, and leaves everything where it is. @defaultValue false */
  readonly dryRun?: boolean
  /** Letters that go back at the most. @defaultValue Infinity */
  readonly limit?: number
}

/** How many dead letters a redrive sent back, or would send back in a dry run, and how many it looked at and left. */
export interface RedriveReport {
  /** Letters that went back, or would. */
  readonly redriven: number
  /** Letters that were looked at and stay. */
  readonly kept: number
}

/** Decides letter by letter, and counts. */
export interface RedriveCount {
  /** Whether the letter with this note goes back. Counts it. */
  takes(note: DeadLetterNote | null): boolean
  /** False once `limit` letters have gone back. */
  readonly hasRoom: boolean
  report(): RedriveReport
}

/** Begins a count for one redrive. Without `where` it takes letters that have a note, without `limit` all of them. */
export function createRedriveCount({
  where = (note) => note !== null,
  limit = Number.POSITIVE_INFINITY,
}: RedriveOptions): RedriveCount {
  let redriven = 0
  let kept = 0
  return {
    takes: (note) => {
      const isTaken = redriven < limit && where(note)
      if (isTaken) redriven++
      else kept++
      return isTaken
    },
    get hasRoom() {
      return redriven < limit
    },
    report: () => ({ redriven, kept }),
  }
}
