import type { Backoff } from '../backoff.ts'
import type { DestinationFailure } from '../publisher.ts'

/** A destination that takes nothing. */
export interface OpenBreaker {
  readonly destination: string
  /** Topics that were on their way there. They stand still until it takes messages again. */
  readonly topics: ReadonlySet<string>
  /** By the relay's monotonic clock. */
  readonly sinceMs: number
  /** What was heard of it last. */
  readonly failure: DestinationFailure
}

interface Breaker extends OpenBreaker {
  readonly topics: Set<string>
  failure: DestinationFailure
  failures: number
  probeAtMs: number
  /** When the last probe began. */
  probedAtMs: number
  isProbing: boolean
}

/**
 * One breaker for each destination, beside the one for the publisher as a whole (outage.ts). Pure: time comes in as a number.
 *
 * Closed: there is none. Open: what is on its way to the destination waits, and nobody pays. Half-open: after a pause that
 * grows, one probe of a few messages goes out; when it gets through, all goes on.
 */
export class Breakers {
  readonly #backoff: Backoff
  readonly #breakers = new Map<string, Breaker>()
  /** Rises with every change that operators see. */
  version = 0

  constructor(backoff: Backoff) {
    this.#backoff = backoff
  }

  get size(): number {
    return this.#breakers.size
  }

  list(): readonly OpenBreaker[] {
    return [...this.#breakers.values()]
  }

  topicsOf(destination: string): readonly string[] {
    return [...(this.#breakers.get(destination)?.topics ?? [])]
  }

  /** The destination refused a message of the topic. @returns when it began just now: the pause until the first probe */
  fail(failure: DestinationFailure, topic: string, nowMs: number): number | null {
    const { destination } = failure
    const known = this.#breakers.get(destination)
    if (known !== undefined) {
      if (!known.topics.has(topic)) this.version++
      known.topics.add(topic)
      known.failure = failure
      return null
    }
    const pauseMs = this.#pauseMs(1, failure)
    const topics = new Set([topic])
    const state = { failures: 1, probeAtMs: nowMs + pauseMs, probedAtMs: nowMs, isProbing: false }
    this.#breakers.set(destination, { destination, topics, sinceMs: nowMs, failure, ...state })
    this.version++
    return pauseMs
  }

  /** Destinations that are to be tried now. Each counts as being tried until `probeFailed` or `close`. */
  startProbes(nowMs: number, limit: number): readonly OpenBreaker[] {
    const due = [...this.#breakers.values()]
      .filter(({ isProbing, probeAtMs }) => !isProbing && probeAtMs <= nowMs)
      .slice(0, limit)
    for (const breaker of due) {
      breaker.isProbing = true
      breaker.probedAtMs = nowMs
    }
    return due
  }

  /**
   * The probe was refused, or never sent. The pause counts from its beginning, so that a slow answer does not make a mend wait
   * for longer; but half of it at least comes after the answer.
   */
  probeFailed(destination: string, nowMs: number): void {
    const breaker = this.#breakers.get(destination)
    if (breaker === undefined) return
    breaker.isProbing = false
    breaker.failures++
    const pauseMs = this.#pauseMs(breaker.failures, breaker.failure)
    breaker.probeAtMs = Math.max(breaker.probedAtMs + pauseMs, nowMs + pauseMs / 2)
  }

  /** The destination takes messages. @returns how long it did not, in milliseconds, or null when it always did */
  close(destination: string, nowMs: number): number | null {
    const breaker = this.#breakers.get(destination)
    if (breaker === undefined) return null
    this.#breakers.delete(destination)
    this.version++
    return nowMs - breaker.sinceMs
  }

  /** When the next probe is due; Infinity when none is. */
  get nextProbeAtMs(): number {
    let next = Number.POSITIVE_INFINITY
    for (const { isProbing, probeAtMs } of this.#breakers.values()) if (!isProbing) next = Math.min(next, probeAtMs)
    return next
  }

  #pauseMs(failures: number, { retryAfterMs }: DestinationFailure): number {
    return Math.max(1, this.#backoff(failures), Number.isFinite(retryAfterMs) ? (retryAfterMs ?? 0) : 0)
  }
}
