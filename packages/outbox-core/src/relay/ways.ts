import type { BlocksOfLane } from '../postgres/lane-reads.ts'
import { Blocks } from './blocks.ts'
import type { BufferedMessage } from './buffered-message.ts'
import type { Floor } from './floor.ts'
import type { Lanes } from './lanes.ts'
import { pausedByOperator, Suspensions } from './suspensions.ts'

/**
 * What closes the way from the table to the publisher. Pure: it holds no message.
 *
 * The way to a message is closed while its stream is blocked (an earlier one waits in the table, or an operator holds the key), its
 * topic is suspended, or its lane leaves. Each is opened and closed here.
 *
 * Invariant: whatever may have been passed by while a way was closed lies at or above a noted seq, and opening the way sends the
 * floor of the lane back below it. So nothing stays behind a way that goes on.
 */
export class Ways {
  readonly #lanes: Lanes
  readonly #floor: Floor
  readonly #blocks = new Blocks()
  readonly #suspensions = new Suspensions()

  constructor(lanes: Lanes, floor: Floor) {
    this.#lanes = lanes
    this.#floor = floor
  }

  /** Blocked streams, which only change by way of this module. */
  get blocks(): Pick<Blocks, 'names' | 'skipped' | 'closed' | 'size' | 'hasHeld'> {
    return this.#blocks
  }

  /** Suspended topics, which only change by way of this module. */
  get suspensions(): Pick<Suspensions, 'has' | 'topics' | 'suspendedBy'> {
    return this.#suspensions
  }

  /** An operator paused the topic: not even its destination is tried with it. */
  isPaused(topic: string): boolean {
    return this.#suspensions.isSuspendedBy(topic, pausedByOperator)
  }

  /** Whether the stream, or what waits of it, may go on from this message, and its lane stays. Its topic may be suspended all the same. */
  isInTurn({ stream, lane, seq, hasWaited }: BufferedMessage): boolean {
    if (!this.#lanes.isActive(lane)) return false
    if (stream === null) return true
    return hasWaited ? !this.#blocks.isClosed(stream, lane, seq) : !this.#blocks.has(stream, lane)
  }

  /** @param isProbe - it tries the destination that has its topic suspended */
  isOpen(message: BufferedMessage, isProbe: boolean): boolean {
    const { topic } = message.message
    const isSuspended = isProbe ? this.isPaused(topic) : this.#suspensions.has(topic)
    return !isSuspended && this.isInTurn(message)
  }

  /** Call before a read of the lanes is sent that leaves out the suspended topics and the blocked streams. */
  beginRead(lanes: readonly number[]): void {
    this.#suspensions.beginRead()
    const froms = new Map(lanes.map((lane) => [lane, this.#floor.of(lane) + 1]))
    for (const [lane, from] of froms) this.#suspensions.passBy(lane, from)
    this.#blocks.passBy(froms)
  }

  /** Whether a ready message that a read showed may be taken from it. Otherwise it is passed by. */
  takesReady({ stream, lane, seq, message }: BufferedMessage): boolean {
    if (stream !== null && this.#blocks.leave(stream, lane, seq)) return false
    return !this.#suspensions.hadSinceRead(message.topic)
  }

  /** Whether a message that waited and was read as the first of its stream may be taken. */
  takesWaiting({ stream, lane, message }: BufferedMessage): boolean {
    if (!this.#lanes.isActive(lane) || this.#suspensions.has(message.topic)) return false
    return stream === null || !this.#blocks.isHeld(stream, lane)
  }

  /** A message that waited was taken: what is ready of its stream comes after it. @returns whether that was not so before */
  blockBehind(stream: string, { lane, seq }: BufferedMessage): boolean {
    const wasBlocked = this.#blocks.has(stream, lane)
    this.#blocks.read(stream, lane, seq)
    return !wasBlocked
  }

  /** The message leaves memory and stays in the table. */
  leave({ stream, lane, seq, hasWaited }: BufferedMessage): void {
    if (stream !== null) this.#blocks.leave(stream, lane, seq, hasWaited)
  }

  /** The message is left behind its suspended topic. */
  passBySuspended({ lane, seq, message: { topic } }: BufferedMessage): void {
    this.#suspensions.passBy(lane, seq, [topic])
  }

  /** The message failed: its stream is blocked from it on, and nothing opens it before `confirm`. */
  fail(stream: string, { lane, seq }: BufferedMessage): void {
    this.#blocks.fail(stream, lane, seq)
  }

  /** The failure is committed. */
  confirm({ stream, lane }: BufferedMessage): void {
    if (stream !== null) this.#blocks.confirm(stream, lane)
  }

  /** The message is a dead letter that holds its stream: this relay has just written that down. */
  hold({ stream, lane }: BufferedMessage): void {
    if (stream !== null) this.#blocks.hold(stream, lane)
  }

  /** @returns whether the topic went on until now */
  suspend(topic: string, reason: string): boolean {
    if (!this.#suspensions.suspend(topic, reason)) return false
    for (const { lane } of this.#lanes.all()) this.#suspensions.passBy(lane, this.#floor.of(lane) + 1, [topic])
    return true
  }

  /** @returns whether the topic goes on */
  resume(topic: string, reason: string): boolean {
    const rewinds = this.#suspensions.resume(topic, reason)
    for (const { lane, seq } of rewinds ?? []) if (this.#lanes.get(lane)) this.#floor.rewind(lane, seq)
    return rewinds !== null
  }

  /** Call before the query is sent that asks which streams are blocked; hand the number to `reload`. */
  beginReload(): number {
    return this.#blocks.beginReload()
  }

  /**
   * @param rows - what the query showed of the lanes: none for one of which nothing is blocked
   * @returns whether a stream of a lane is blocked now, of those lanes that are still ours
   */
  reload(
    begun: number,
    lanes: readonly number[],
    rows: readonly BlocksOfLane[],
  ): (stream: string, lane: number) => boolean {
    const ours = new Set(lanes.filter((lane) => this.#lanes.get(lane) !== undefined))
    for (const { lane, seq } of this.#blocks.reload(begun, ours, rows)) this.#floor.rewind(lane, seq)
    return (stream, lane) => ours.has(lane) && this.#blocks.has(stream, lane)
  }

  /** The lane is another relay's. */
  removeLane(lane: number): void {
    this.#blocks.removeLane(lane)
    this.#suspensions.removeLane(lane)
  }
}
