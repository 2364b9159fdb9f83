import { createHash } from 'node:crypto'
import { availableParallelism, loadavg } from 'node:os'

/** What the work below takes on a quiet machine of the kind that the tests' bounds were chosen on. */
const referenceMs = 4

/** Beyond this, waiting in proportion would let a test take hours to fail. */
const most = 10

const work = Buffer.alloc(65_536, 1)

/**
 * How many times slower than a quiet machine this one is now: from 1 to 10. The larger of two measures counts: how long a fixed
 * piece of work takes, and how many runnable processes share a core over the last minute (where the system counts them).
 */
export function measureSlowness(): number {
  const startMs = performance.now()
  const hash = createHash('sha256')
  for (let block = 0; block < 64; block++) hash.update(work)
  hash.digest()
  const workRatio = (performance.now() - startMs) / referenceMs
  const sharersOfCore = (loadavg()[0] ?? 0) / availableParallelism()
  return Math.min(most, Math.max(1, workRatio, sharersOfCore))
}

/** How long a case may take that takes `quietMs` at the most on a quiet machine. One that hangs must not take an hour to fail. */
export const scaledTimeout = (quietMs: number): number => Math.ceil(quietMs * Math.min(4, measureSlowness()))

/**
 * A bound on time, multiplied by how slow the machine is now. For what must not take long but takes longer on a busy machine.
 *
 * @param quietMs - the bound on a quiet machine, in milliseconds
 * @returns whole milliseconds
 */
export const scaled = (quietMs: number): number => Math.round(quietMs * measureSlowness())
