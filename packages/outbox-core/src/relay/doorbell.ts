import type { Clock } from '../clock.ts'
import type { DoorbellQueries } from '../postgres/doorbell.ts'

export interface DoorbellParts {
  readonly queries: DoorbellQueries
  readonly relayId: string
  readonly clock: Clock
  /** Somebody rang: `''` a writer, `lanes` lanes are free, `keys` an operator changed what waits. */
  readonly onRing: (reason: string) => void
}

/** Longest wait for the own ring to come back, in milliseconds. */
const echoTimeoutMs = 3_000

/** Least time between two changes of the flag that every writer looks at, in milliseconds. */
const minToggleMs = 1_000

/** Wakes an idle relay early. A hint, never a truth: polling goes on beneath it. */
export class Doorbell {
  readonly #parts: DoorbellParts
  #isAsleep = false
  #toggledAtMs = Number.NEGATIVE_INFINITY
  #isHeard = false

  constructor(parts: DoorbellParts) {
    this.#parts = parts
  }

  get isHeard(): boolean {
    return this.#isHeard
  }

  get isAsleep(): boolean {
    return this.#isAsleep
  }

  /** Listens and has itself rung: through some poolers LISTEN is accepted and silently dead. @returns whether the echo came */
  async listen(): Promise<boolean> {
    const { queries, relayId, clock, onRing } = this.#parts
    const echo = Promise.withResolvers<boolean>()
    const cancel = clock.after(echoTimeoutMs, () => echo.resolve(false))
    await queries.listen((words) => {
      if (words === `echo ${relayId}`) {
        cancel()
        echo.resolve(true)
      } else if (!words.startsWith('echo ')) onRing(words)
    })
    await queries.ring(`echo ${relayId}`)
    this.#isHeard = await echo.promise
    return this.#isHeard
  }

  /** Asks writers to ring, or not to. Rarely: each change is a row version that every writer steps over. @returns whether it changed */
  async setAsleep(isAsleep: boolean): Promise<boolean> {
    const { queries, clock } = this.#parts
    const nowMs = clock.monotonicMs()
    if (this.#isAsleep === isAsleep || nowMs - this.#toggledAtMs < minToggleMs) return false
    this.#toggledAtMs = nowMs
    await queries.setAsleep(isAsleep)
    this.#isAsleep = isAsleep
    return true
  }
}
