import type { Floor } from './floor.ts'
import type { Memory } from './memory.ts'
import type { RestingStreams } from './resting-streams.ts'
import type { Ways } from './ways.ts'

export interface ExclusionsParts {
  readonly memory: Memory
  readonly ways: Ways
  readonly resting: RestingStreams
  readonly floor: Floor
}

/**
 * What each query leaves out, as it was when the query was sent. Pure. Seqs and streams come as PostgreSQL array literals.
 *
 * Invariant: nothing known is read a second time. Each query is told the seqs, so that a message which is deleted while a read with
 * an older snapshot is on its way does not come back by it.
 */
export class Exclusions {
  readonly #parts: ExclusionsParts

  constructor(parts: ExclusionsParts) {
    this.#parts = parts
  }

  /** All known seqs; of those above their lane's floor only when `isAboveFloor`. */
  seqs(isAboveFloor = false): string {
    const { memory, floor } = this.#parts
    const seqs: number[] = []
    for (const { seq, lane } of memory.all()) if (!isAboveFloor || seq > floor.of(lane)) seqs.push(seq)
    return `{${seqs.join(',')}}`
  }

  /** Seqs of what had waited and is in memory. */
  get waitedSeqs(): string {
    return this.#parts.memory.waitedSeqs()
  }

  get suspendedTopics(): string[] {
    return this.#parts.ways.suspensions.topics()
  }

  blockedStreams(lanes?: readonly number[]): string {
    return this.#parts.ways.blocks.names(lanes)
  }

  /** Of `blockedStreams` those that a read of ready messages is to leave out. */
  get skippedStreams(): string {
    return this.#parts.ways.blocks.skipped()
  }

  /** Streams of which nothing that waits is to be read: held, resting, or what failed of them is not written down yet. */
  closedStreams(lanes?: readonly number[]): string {
    const { ways, resting } = this.#parts
    return ways.blocks.closed(resting.names(), lanes)
  }

  /** Those, and the streams of which something that had waited is in memory: what waits is not their first. */
  streamsNotToProbe(lanes?: readonly number[]): string {
    const { ways, resting, memory } = this.#parts
    return ways.blocks.closed([...memory.waitedStreams(), ...resting.names()], lanes)
  }
}
