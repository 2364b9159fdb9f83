import type { Clock } from '../clock.ts'
import type { RelayEvent } from '../events.ts'
import { fewHeld } from '../postgres/membership.ts'
import type { Backlog } from './backlog.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Floor } from './floor.ts'
import type { Journal } from './journal.ts'
import type { Lane, Lanes } from './lanes.ts'
import type { Maintenance } from './maintenance.ts'
import { laneCount, type Look, type Membership } from './membership.ts'
import type { ReadLoop } from './read-loop.ts'
import { pausedByOperator } from './suspensions.ts'
import { createWake, type Wake } from './wake.ts'

export interface ControlLoopParts {
  readonly membership: Membership
  readonly lanes: Lanes
  readonly floor: Floor
  readonly backlog: Backlog
  readonly dispatcher: Dispatcher
  readonly readLoop: ReadLoop
  readonly journal: Journal
  readonly maintenance: Maintenance
  readonly clock: Clock
  readonly leaseMs: number
  readonly report: (event: RelayEvent) => void
  /** The lease ran out before it was renewed. */
  readonly onExpired: () => void
}

/** Of more than a few held keys it is asked in every so many looks whether they changed. */
const looksAtHeld = 4

/** Between two looks at the other relays, in milliseconds: a relay's death is noticed within it. */
const lookIntervalMs = 500

/** Between two steps of maintenance, in milliseconds: soon over, and never in the way of a heartbeat. */
const betweenStepsMs = 50

/** Keeps the lease and the fair share of lanes. Has a connection of its own, so that no slow read delays a heartbeat. */
export class ControlLoop {
  readonly #parts: ControlLoopParts
  readonly #wake: Wake
  #isStopped = false
  #notedVersion = 0
  #heldVersion: string | null = null
  #looks = 0
  #loop: Promise<void> = Promise.resolve()

  constructor(parts: ControlLoopParts) {
    this.#parts = parts
    this.#wake = createWake(parts.clock)
  }

  /** Lanes may be free, or one of ours may be ready to leave. */
  wake(): void {
    this.#wake.now()
  }

  /** Something was settled: only a lane on its way out cares. */
  progressed(): void {
    if (this.#parts.lanes.all().some((lane) => lane.isLeaving)) this.#wake.now()
  }

  /** Resolves when the loop has ended: it renews and acquires nothing any more. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#wake.now()
    await this.#loop.catch(() => {}) // Whoever called `run` hears of it.
  }

  run(): Promise<void> {
    this.#loop = this.#run()
    return this.#loop
  }

  async #run(): Promise<void> {
    const lookEachMs = Math.min(lookIntervalMs, this.#parts.leaseMs / 6)
    while (!this.#isStopped) {
      if (!(await this.#renew())) return
      await this.#handOver()
      await this.look()
      await this.#wake.wait(this.#parts.maintenance.hasMore ? betweenStepsMs : lookEachMs)
    }
  }

  /** One look at the others, and what follows from it. */
  async look(): Promise<void> {
    const { membership, lanes, readLoop } = this.#parts
    // Not in the first: lanes wait for it, and whoever takes them over reads what is held.
    const look = await membership.look(this.#looks++ % looksAtHeld === 1)
    this.#steer(look.paused) // Before lanes are acquired: nothing of them may be read that is paused.
    const reaped = look.dead > 0 ? await membership.reap() : 0
    if (look.missing > 0) await this.#restoreLanes(look.missing)
    const share = Math.ceil(laneCount / Math.max(1, look.live - reaped))
    if (lanes.size < share && (look.free > 0 || reaped > 0 || look.missing > 0)) await this.#acquire(share - lanes.size)
    this.#giveBackSurplus(share)
    if (look.waitingMs !== null) readLoop.waitingDueIn(look.waitingMs)
    if (look.scheduledMs !== null) readLoop.scheduledDueIn(look.scheduledMs)
    if (this.#mayBeReleased(look)) readLoop.reloadBlocks()
    await this.#calm()
    await this.#noteOutages()
    await this.#parts.journal.write()
    await this.#parts.maintenance.step()
  }

  /** Reading a few held keys at each look is cheap and sure. Of many it would keep the messages of all others waiting. */
  #mayBeReleased({ held, heldVersion }: Look): boolean {
    if (held <= fewHeld) return held > 0 || this.#parts.backlog.hasHeld
    const isChanged = this.#heldVersion !== null && heldVersion !== null && heldVersion !== this.#heldVersion
    this.#heldVersion = heldVersion ?? this.#heldVersion
    return isChanged
  }

  /** Topics stand still or go on as operators say. */
  #steer(paused: readonly string[]): void {
    const { backlog, readLoop } = this.#parts
    for (const topic of paused) backlog.suspend(topic, pausedByOperator)
    for (const topic of backlog.suspendedBy(pausedByOperator))
      if (!paused.includes(topic) && backlog.resume(topic, pausedByOperator)) readLoop.readable()
  }

  async #noteOutages(): Promise<void> {
    const { membership, dispatcher } = this.#parts
    const { outagesVersion } = dispatcher
    if (outagesVersion === this.#notedVersion) return
    await membership.noteOutages(dispatcher.outages())
    this.#notedVersion = outagesVersion
  }

  /** Forgets the deaths of former owners where what they may have died of is through. */
  async #calm(): Promise<void> {
    const { membership, lanes, floor, backlog, clock } = this.#parts
    const isThrough = ({ lane, backlogEnd }: Lane): boolean =>
      floor.of(lane) >= backlogEnd && !backlog.hasUpTo(lane, backlogEnd)
    const calmed = lanes.calm(clock.monotonicMs(), isThrough)
    if (calmed.length > 0) await membership.calm(calmed)
  }

  async #renew(): Promise<boolean> {
    const { membership, dispatcher, onExpired } = this.#parts
    const wasTrusted = membership.isTrusted
    if (!(await membership.renewWhenDue())) {
      onExpired()
      return false
    }
    if (!wasTrusted) dispatcher.pump()
    return true
  }

  /** Without its lane no message is ever read. Said first: should the answer be lost, they are back, and nobody misses them again. */
  async #restoreLanes(missing: number): Promise<void> {
    this.#parts.report({ type: 'lanes.restored', lanes: missing })
    await this.#parts.membership.restoreLanes()
  }

  async #acquire(count: number): Promise<void> {
    const { membership, floor, readLoop, report } = this.#parts
    const acquired = await membership.acquire(count)
    if (acquired.length === 0) return
    for (const lane of acquired) floor.addLane(lane)
    report({ type: 'lanes.acquired', lanes: acquired })
    readLoop.wake()
  }

  #giveBackSurplus(share: number): void {
    const { lanes, backlog } = this.#parts
    const staying = lanes.all().filter((lane) => !lane.isLeaving)
    const surplus = staying.slice(0, Math.max(0, staying.length - share))
    for (const lane of surplus) {
      lane.isLeaving = true
      backlog.leaveLane(lane.lane)
    }
    if (surplus.length === 0) return
    this.#wake.now()
  }

  /** Frees the lanes that are on their way out and have nothing in flight or unsettled any more. */
  async #handOver(): Promise<void> {
    const { membership, lanes, backlog, floor, report } = this.#parts
    const done = lanes.all().filter((lane) => lane.isLeaving && backlog.countOf(lane.lane) === 0)
    if (done.length === 0) return
    const released = done.map((lane) => lane.lane)
    await membership.release(released)
    for (const lane of released) {
      floor.removeLane(lane)
      backlog.removeLane(lane)
    }
    report({ type: 'lanes.released', lanes: released })
  }
}
