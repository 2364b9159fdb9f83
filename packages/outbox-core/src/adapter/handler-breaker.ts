import { exponentialBackoff } from '../backoff.ts'
import type { Clock } from '../clock.ts'
import type { ConsumerEvent, PauseReason } from '../consumer.ts'
import type { MessageId } from '../message.ts'

/**
 * Keeps handlers from being called while what they need is away.
 *
 * Closed: every delivery passes. Open: one delivery passes, the probe, and after it failed the next, each after a pause that grows to less
 * than a second; the others wait in the order they came. A probe that fails goes to the end of that order, so that one bad message
 * cannot stand in the way of the proof that all is well. A probe that has not ended after a second does not keep the next from passing:
 * a connection that hangs says nothing of whether a new one would.
 */
export interface HandlerBreaker {
  readonly isOpen: boolean
  /** Resolves when the handler may be called; null when the signal aborts first. Every pass must be ended. */
  enter(signal: AbortSignal): Promise<Pass | null>
}

/** The leave to call a handler once. Ended by exactly one of its functions. */
export interface Pass {
  /** The handler resolved: whatever was away is back. */
  succeeded(): void
  /** @returns what to make of the failure */
  failed(failure: HandlerFailure): FailureVerdict
  /** The delivery says nothing: it was aborted, or its type is not known. */
  withdrawn(): void
}

export interface HandlerFailure {
  readonly id: MessageId
  readonly isOutage: boolean
  readonly error: unknown
}

/** Whether the message must pay for the failure. */
export type FailureVerdict = 'pays' | 'free'

export interface HandlerBreakerOptions {
  readonly pauseAfterOutages: number
  readonly pauseAfterFailures: number
  readonly clock: Clock
  readonly report: (event: ConsumerEvent) => void
}

export function createHandlerBreaker(options: HandlerBreakerOptions): HandlerBreaker {
  return new Breaker(options)
}

interface Pause {
  readonly reason: PauseReason
  readonly sinceMs: number
  retryAtMs: number
  failures: number
}

/** Below a second together with the probe itself: a consumer goes on within a second of the mend. */
const probeBackoff = exponentialBackoff({ baseMs: 100, maxMs: 800 })

/** How long the next probe waits for one that does not end, in milliseconds. */
const probePatienceMs = 1_000

class Breaker implements HandlerBreaker {
  readonly #options: HandlerBreakerOptions
  readonly #waiting = new Set<(isProbe: boolean) => void>()
  #pause: Pause | null = null
  /** The probe that the next one waits for. */
  #probe: Pass | null = null
  #cancelTimer: (() => void) | null = null
  #outages = 0
  #failures = 0
  readonly #failedIds = new Set<MessageId>()

  constructor(options: HandlerBreakerOptions) {
    this.#options = options
  }

  get isOpen(): boolean {
    return this.#pause !== null
  }

  async enter(signal: AbortSignal): Promise<Pass | null> {
    if (signal.aborted) return null
    if (this.#pause === null) return this.#pass(false)
    const isProbe = await this.#turn(signal)
    if (!signal.aborted) return isProbe ? this.#beginProbe() : this.#pass(false)
    if (isProbe) this.#plan()
    return null
  }

  /** Resolves when it is this delivery's turn, with whether it is the probe, or when the signal aborts. */
  #turn(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const go = (isProbe: boolean): void => {
        signal.removeEventListener('abort', onAbort)
        resolve(isProbe)
      }
      const onAbort = (): void => {
        if (this.#waiting.delete(go)) go(false)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.add(go)
      this.#plan()
    })
  }

  #beginProbe(): Pass {
    const probe = this.#pass(true)
    this.#probe = probe
    this.#plan()
    return probe
  }

  #pass(isProbe: boolean): Pass {
    const pass: Pass = {
      succeeded: () => {
        this.#outages = 0
        this.#failures = 0
        this.#failedIds.clear()
        this.#close()
      },
      failed: (failure) => {
        const verdict = this.#failed(failure, isProbe)
        this.#probeEnded(pass)
        return verdict
      },
      withdrawn: () => this.#probeEnded(pass),
    }
    return pass
  }

  #failed({ id, isOutage, error }: HandlerFailure, isProbe: boolean): FailureVerdict {
    this.#outages = isOutage ? this.#outages + 1 : 0
    this.#failures++
    this.#failedIds.add(id)
    const paused = this.#pause
    if (paused !== null) return this.#failedWhilePaused(paused, isOutage, isProbe)
    const { pauseAfterOutages, pauseAfterFailures } = this.#options
    if (this.#outages >= pauseAfterOutages) this.#open('OUTAGE', error)
    else if (this.#failures >= pauseAfterFailures && this.#failedIds.size * 2 >= pauseAfterFailures)
      this.#open('EVERY_DELIVERY_FAILS', error)
    return isOutage || this.#pause !== null ? 'free' : 'pays'
  }

  #failedWhilePaused(paused: Pause, isOutage: boolean, isProbe: boolean): FailureVerdict {
    if (!isProbe) return 'free' // Under way since before the pause: nothing new.
    if (paused.reason === 'OUTAGE' && !isOutage) {
      // The handler got as far as a failure of another kind: what was away is back. This one failure is on the house.
      this.#close()
      return 'free'
    }
    paused.failures++
    paused.retryAtMs = this.#options.clock.monotonicMs() + probeBackoff(paused.failures)
    return 'free'
  }

  #open(reason: PauseReason, error: unknown): void {
    const now = this.#options.clock.monotonicMs()
    this.#pause = { reason, sinceMs: now, failures: 1, retryAtMs: now + probeBackoff(1) }
    this.#options.report({ type: 'consumer.paused', reason, error })
  }

  #close(): void {
    if (this.#pause === null) return
    const afterMs = this.#options.clock.monotonicMs() - this.#pause.sinceMs
    this.#pause = null
    this.#probe = null
    this.#outages = 0
    this.#failures = 0
    this.#failedIds.clear()
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#options.report({ type: 'consumer.resumed', afterMs })
    const released = [...this.#waiting]
    this.#waiting.clear()
    for (const go of released) go(false)
  }

  /** Does nothing for a pass that is no probe, and for a probe that the next one waits for no more. */
  #probeEnded(pass: Pass): void {
    if (this.#probe !== pass) return
    this.#probe = null
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#plan()
  }

  /** Sees to it that the first who waits becomes the probe when it is time. */
  #plan(): void {
    if (this.#pause === null || this.#cancelTimer !== null || this.#waiting.size === 0) return
    const { clock } = this.#options
    const inMs = this.#probe === null ? Math.max(0, this.#pause.retryAtMs - clock.monotonicMs()) : probePatienceMs
    this.#cancelTimer = clock.after(inMs, () => {
      this.#cancelTimer = null
      const [first] = this.#waiting
      if (first === undefined) return
      this.#waiting.delete(first)
      this.#probe = null
      first(true)
    })
  }
}
