import { randomInt } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { MembershipQueries, NotedOutage } from '../postgres/membership.ts'
import { isRefused } from '../postgres/queryable.ts'
import type { BuriedRow, UnstorableQueries } from '../postgres/unstorable.ts'
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
  /** How many keys are held, of whatever lane: one more than are few when they are more. */
  readonly held: number
  /** Changes with each key that is held or released; null when not all were looked at. */
  readonly heldVersion: string | null
  /** Topics that an operator paused. */
  readonly paused: readonly string[]
}

export interface MembershipParts {
  readonly queries: MembershipQueries
  readonly name: string
  readonly leaseMs: number
  readonly presence: boolean
  readonly lanes: Lanes
  readonly clock: Clock
  readonly unstorable: Pick<UnstorableQueries, 'namedByDead' | 'probe' | 'buryNamed'>
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
    const { queries, name, leaseMs, presence } = this.#parts
    const presenceKey = presence ? await this.#takePresence() : null
    await this.#prolong(async () => {
      await queries.join({ name, leaseMs, presenceKey })
      return true
    })
  }

  /** Renews at a third of the lease. @returns false when it had run out: everything held in memory is void */
  async renewWhenDue(): Promise<boolean> {
    const { clock, queries, leaseMs } = this.#parts
    if (clock.monotonicMs() < this.#renewAtMs && this.isTrusted) return true
    return this.#prolong(() => queries.renew(leaseMs))
  }

  async look(ofAllHeld: boolean): Promise<Look> {
    const { queries, lanes } = this.#parts
    const {
      live,
      dead,
      free,
      lanes: all,
      waiting_ms,
      scheduled_ms,
      held,
      held_version,
      paused,
    } = await queries.look(lanes.numbers(), ofAllHeld)
    return {
      live,
      dead,
      free,
      missing: laneCount - all,
      waitingMs: waiting_ms,
      scheduledMs: scheduled_ms,
      held,
      heldVersion: held_version,
      paused,
    }
  }

  /** Puts back lanes that are gone from their table. */
  restoreLanes(): Promise<void> {
    return this.#parts.queries.restoreLanes()
  }

  /** Writes down for operators what is out of reach now. */
  noteOutages(outages: readonly NotedOutage[]): Promise<void> {
    return this.#parts.queries.noteOutages(outages)
  }

  /** Removes relays that are dead, which frees their lanes. */
  async reap(): Promise<number> {
    const { queries } = this.#parts
    try {
      return await queries.reap()
    } catch (error) {
      if (!isRefused(error)) throw error
      await this.#buryUnchargeable()
      return queries.reap()
    }
  }

  /** What the death cannot be noted on would never be found, and would keep its lane from everybody. */
  async #buryUnchargeable(): Promise<void> {
    const { unstorable, onUnstorable } = this.#parts
    for (const named of await unstorable.namedByDead()) {
      try {
        await unstorable.probe(named)
      } catch (error) {
        if (!isRefused(error)) throw error
        const bury = (isKeyHeld: boolean): Promise<readonly BuriedRow[]> =>
          unstorable.buryNamed({ ...named, isKeyHeld, words: unchargeable })
        await buryUnstorable(bury, true, onUnstorable)
      }
    }
  }

  /** Takes up to `count` free lanes. */
  async acquire(count: number): Promise<readonly number[]> {
    const { queries, lanes, clock } = this.#parts
    const rows = await queries.acquire(count)
    const acquiredAtMs = clock.monotonicMs()
    for (const { lane, fence, crashes, backlog_end } of rows)
      lanes.add(lane, fence, { crashes, backlogEnd: backlog_end ?? 0, acquiredAtMs })
    return rows.map(({ lane }) => lane).sort((a, b) => a - b)
  }

  /** Frees lanes of which nothing is in flight or unsettled any more. */
  async release(released: readonly number[]): Promise<void> {
    const { queries, lanes } = this.#parts
    await queries.release(lanes.fenced(released))
    for (const lane of released) lanes.remove(lane)
  }

  /** What may have killed the former owners of these lanes is through. */
  async calm(calmed: readonly Lane[]): Promise<void> {
    await this.#parts.queries.calm(calmed)
    for (const lane of calmed) lane.crashes = 0
  }

  /** Frees everything at once. Nothing may be in flight. */
  leave(): Promise<void> {
    return this.#parts.queries.leave()
  }

  /** Frees what a former identity of this process held. */
  remove(relayId: string): Promise<void> {
    return this.#parts.queries.leave(relayId)
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
    for (;;) {
      const key = randomInt(2 ** 31 - 1)
      if (await this.#parts.queries.takePresence(key)) return key
    }
  }
}
