import { randomInt } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { MembershipStatements } from '../postgres/membership-statements.ts'
import { isRefused } from '../postgres/queryable.ts'
import type { UnstorableStatements } from '../postgres/unstorable-statements.ts'
import type { Connection } from './connections.ts'
import { buryUnstorable, type ScheduledParts } from './scheduled.ts'
import type { Lane, Lanes } from './lanes.ts'

/** What a look at the other relays and at the clock of waiting messages showed. */
export interface Look {
  readonly live: number
  readonly dead: number
  readonly free: number
  /** Lanes that are gone from their table. */
  readonly missing: number
  /** Milliseconds until the next failed message of our lanes is due; null when none waits. */
  readonly waitingMs: number | null
  /** Milliseconds until the next scheduled message is due; null when none waits. */
  readonly scheduledMs: number | null
  /** How many keys are held, of whatever lane. */
  readonly held: number
  /** Changes with each key that is held or released. */
  readonly heldVersion: string
  /** Topics that an operator paused. */
  readonly paused: readonly string[]
}

/** What operators are told of an outage that lasts. */
export interface NotedOutage {
  /** Empty: the broker as a whole. */
  readonly destination: string
  readonly topics: readonly string[]
  readonly ageMs: number
  readonly code: string
  readonly message: string
}

export interface MembershipParts {
  readonly connection: Connection
  readonly statements: MembershipStatements
  readonly relayId: string
  readonly name: string
  readonly channel: string
  readonly leaseMs: number
  readonly presence: boolean
  readonly lanes: Lanes
  readonly clock: Clock
  readonly unstorable: UnstorableStatements
  readonly onUnstorable: ScheduledParts['onUnstorable']
}

const unchargeable =
  'a relay died while it published a group with this message in it, and PostgreSQL refused to note that on its row: it breaks a rule of the table that came after it'

/** How many slices the outbox has. */
export const laneCount = 64

/** The share of the lease in which this relay trusts itself, so that it stops before another starts. */
const trustedShare = 0.9

/**
 * This relay's place among the others: its lease, its lanes. Only the database's clock decides expiry; the deadline kept
 * here is earlier by a tenth, counted from before the renewal was sent, on two clocks of which the earlier counts (one
 * stands still while a machine is suspended, the other may be set back).
 */
export class Membership {
  readonly #parts: MembershipParts
  #monotonicDeadlineMs = 0
  #wallDeadlineMs = 0
  #renewAtMs = 0

  constructor(parts: MembershipParts) {
    this.#parts = parts
  }

  /** False: our lanes may be somebody else's. Ask before each publish. */
  get isTrusted(): boolean {
    const { clock } = this.#parts
    return clock.monotonicMs() < this.#monotonicDeadlineMs && clock.wallMs() < this.#wallDeadlineMs
  }

  async join(): Promise<void> {
    const { relayId, name, leaseMs, connection, statements, presence } = this.#parts
    const presenceKey = presence ? await this.#takePresence() : null
    await this.#prolong(async () => {
      await connection.query(statements.join, [relayId, name, leaseMs, presenceKey])
      return true
    })
  }

  /** Renews at a third of the lease. @returns false when it had run out: everything held in memory is void */
  async renewWhenDue(): Promise<boolean> {
    const { clock, connection, statements, relayId, leaseMs } = this.#parts
    if (clock.monotonicMs() < this.#renewAtMs && this.isTrusted) return true
    return this.#prolong(async () => {
      const { rows } = await connection.queryReadCommitted(statements.renew, [relayId, leaseMs])
      return rows.length === 1
    })
  }

  async look(): Promise<Look> {
    const { connection, statements, relayId, lanes } = this.#parts
    const { rows } = await connection.query(statements.look, [relayId, lanes.numbers()])
    const row = rows[0] ?? {}
    const ms = (value: unknown): number | null => (value === null || value === undefined ? null : Number(value))
    return {
      live: Number(row['live']),
      dead: Number(row['dead']),
      free: Number(row['free']),
      missing: laneCount - Number(row['lanes']),
      waitingMs: ms(row['waiting_ms']),
      scheduledMs: ms(row['scheduled_ms']),
      held: Number(row['held']),
      heldVersion: `${String(row['held'])} ${String(row['held_last'])}`,
      paused: (row['paused'] ?? []) as readonly string[],
    }
  }

  /** Puts back lanes that are gone from their table. */
  async restoreLanes(): Promise<void> {
    const { connection, statements } = this.#parts
    await connection.query(statements.restoreLanes, [])
  }

  /** Writes down for operators what is out of reach now. */
  async noteOutages(outages: readonly NotedOutage[]): Promise<void> {
    const { connection, statements, relayId } = this.#parts
    const rows = outages.map(({ ageMs, ...outage }) => ({ ...outage, age_ms: ageMs }))
    await connection.queryReadCommitted(statements.noteOutages, [relayId, JSON.stringify(rows)])
  }

  /** Removes relays that are dead, which frees their lanes. */
  async reap(): Promise<number> {
    const { connection, statements, relayId } = this.#parts
    const reap = async (): Promise<number> =>
      (await connection.queryReadCommitted(statements.reap, [relayId])).rows.length
    try {
      return await reap()
    } catch (error) {
      if (!isRefused(error)) throw error
      await this.#buryUnchargeable()
      return reap()
    }
  }

  /** What the death cannot be noted on would never be found, and would keep its lane from everybody. */
  async #buryUnchargeable(): Promise<void> {
    const { connection, unstorable, onUnstorable } = this.#parts
    for (const { lane, seq, id } of (await connection.query(unstorable.namedByDead)).rows) {
      try {
        await connection.queryReadCommitted(unstorable.probe, [lane, seq, id])
      } catch (error) {
        if (!isRefused(error)) throw error
        const bury = (isHeld: boolean): ReturnType<Connection['query']> =>
          connection.queryReadCommitted(unstorable.buryNamed, [lane, seq, id, isHeld, unchargeable])
        await buryUnstorable(bury, true, onUnstorable)
      }
    }
  }

  /** Takes up to `count` free lanes. */
  async acquire(count: number): Promise<readonly number[]> {
    const { connection, statements, relayId, lanes, clock } = this.#parts
    const { rows } = await connection.queryReadCommitted(statements.acquire, [relayId, count])
    const acquiredAtMs = clock.monotonicMs()
    for (const row of rows) {
      const past = { crashes: Number(row['crashes']), backlogEnd: Number(row['backlog_end'] ?? 0), acquiredAtMs }
      lanes.add(Number(row['lane']), Number(row['fence']), past)
    }
    return rows.map((row) => Number(row['lane'])).sort((a, b) => a - b)
  }

  /** Frees lanes of which nothing is in flight or unsettled any more. */
  async release(released: readonly number[]): Promise<void> {
    const { connection, statements, relayId, lanes, channel } = this.#parts
    const numbers = [...released].sort((a, b) => a - b)
    const fences = numbers.map((lane) => lanes.get(lane)?.fence ?? -1)
    await connection.queryReadCommitted(statements.release, [relayId, numbers, fences, channel])
    for (const lane of numbers) lanes.remove(lane)
  }

  /** What may have killed the former owners of these lanes is through. */
  async calm(calmed: readonly Lane[]): Promise<void> {
    const { connection, statements, relayId } = this.#parts
    const values = [relayId, calmed.map(({ lane }) => lane), calmed.map(({ fence }) => fence)]
    await connection.queryReadCommitted(statements.calm, values)
    for (const lane of calmed) lane.crashes = 0
  }

  /** Frees everything at once. Nothing may be in flight. */
  leave(): Promise<void> {
    return this.remove(this.#parts.relayId)
  }

  /** Frees what a former identity of this process held. */
  async remove(relayId: string): Promise<void> {
    const { connection, statements, channel } = this.#parts
    await connection.queryReadCommitted(statements.leave, [relayId, channel])
  }

  async #prolong(renew: () => Promise<boolean>): Promise<boolean> {
    const { clock, leaseMs } = this.#parts
    const monotonicMs = clock.monotonicMs()
    const wallMs = clock.wallMs()
    if (!(await renew())) return false
    this.#monotonicDeadlineMs = monotonicMs + leaseMs * trustedShare
    this.#wallDeadlineMs = wallMs + leaseMs * trustedShare
    this.#renewAtMs = monotonicMs + leaseMs / 3
    return true
  }

  async #takePresence(): Promise<number> {
    const { connection, statements } = this.#parts
    for (;;) {
      const key = randomInt(2 ** 31 - 1)
      const { rows } = await connection.query(statements.takePresence, [key])
      if (rows[0]?.['taken'] === true) return key
    }
  }
}
