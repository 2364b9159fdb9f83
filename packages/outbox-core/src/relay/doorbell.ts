import type { Clock } from '../clock.ts'
import type { MembershipStatements } from '../postgres/membership-statements.ts'
import { quoteIdentifier } from '../postgres/identifiers.ts'
import type { Connection } from './connections.ts'

export interface DoorbellParts {
  readonly connection: Connection
  /** Rings for the test. A pooler in transaction mode would hand a ring of our own straight back, listening or not. */
  readonly other: Connection
  readonly statements: MembershipStatements
  readonly relayId: string
  readonly channel: string
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
    const { connection, other, statements, relayId, channel, clock, onRing } = this.#parts
    const echo = new Promise<boolean>((resolve) => {
      const cancel = clock.after(echoTimeoutMs, () => resolve(false))
      connection.onNotification((on, payload) => {
        if (on !== channel) return
        if (payload === `echo ${relayId}`) {
          cancel()
          resolve(true)
        } else if (!payload.startsWith('echo ')) onRing(payload)
      })
    })
    await connection.query(`listen ${quoteIdentifier(channel)}`)
    await other.query(statements.ring, [channel, `echo ${relayId}`])
    this.#isHeard = await echo
    return this.#isHeard
  }

  /** Asks writers to ring, or not to. Rarely: each change is a row version that every writer steps over. @returns whether it changed */
  async setAsleep(isAsleep: boolean): Promise<boolean> {
    const { connection, statements, relayId, clock } = this.#parts
    const nowMs = clock.monotonicMs()
    if (this.#isAsleep === isAsleep || nowMs - this.#toggledAtMs < minToggleMs) return false
    this.#toggledAtMs = nowMs
    await connection.query(statements.setAsleep, [relayId, isAsleep])
    this.#isAsleep = isAsleep
    return true
  }
}
