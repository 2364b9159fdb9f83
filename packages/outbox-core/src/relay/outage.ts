import type { Backoff } from '../backoff.ts'

/**
 * The breaker for the publisher as a whole: the broker is out of reach and no message is blamed. Pure: time comes in as a
 * number.
 *
 * Closed: everything goes. After a rejection, unless others pass: open, nothing goes until the pause is over, then one probe
 * at a time. Any answer of the broker closes it.
 */
export class Outage {
  readonly #backoff: Backoff
  #failures = 0
  #retryAtMs = 0
  #startedAtMs: number | null = null
  #isProbing = false
  /** Rises with every beginning and end. */
  version = 0

  constructor(backoff: Backoff) {
    this.#backoff = backoff
  }

  get isOpen(): boolean {
    return this.#startedAtMs !== null
  }

  /** When the next probe may go; Infinity while closed. */
  get retryAtMs(): number {
    return this.isOpen ? this.#retryAtMs : Number.POSITIVE_INFINITY
  }

  ageMs(nowMs: number): number {
    return nowMs - (this.#startedAtMs ?? nowMs)
  }

  mayGo(nowMs: number): boolean {
    return !this.isOpen || (!this.#isProbing && nowMs >= this.#retryAtMs)
  }

  /** Something was sent. */
  sent(): void {
    this.#isProbing = this.isOpen
  }

  /** The broker answered. @returns how long the outage lasted that this ended, or null */
  answered(nowMs: number): number | null {
    const startedAtMs = this.#startedAtMs
    if (startedAtMs !== null) this.version++
    this.#failures = 0
    this.#startedAtMs = null
    this.#isProbing = false
    return startedAtMs === null ? null : nowMs - startedAtMs
  }

  /** The publisher rejected and nothing else passes. @returns the pause when it began just now, or null */
  rejected(nowMs: number): number | null {
    const hasStarted = this.#startedAtMs === null
    if (hasStarted) this.version++
    // Batches that were already under way when the outage began say nothing new.
    if (hasStarted || this.#isProbing) {
      this.#failures++
      this.#retryAtMs = nowMs + this.#backoff(this.#failures)
    }
    this.#startedAtMs ??= nowMs
    this.#isProbing = false
    return hasStarted ? this.#retryAtMs - nowMs : null
  }

  /** What was to be sent was not sent after all. */
  withdrawn(): void {
    this.#isProbing = false
  }
}
