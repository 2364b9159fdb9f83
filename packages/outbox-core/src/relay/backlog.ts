import { Batch, Group } from './batch.ts'
import type { BlocksOfLane } from '../postgres/lane-reads.ts'
import type { BufferedMessage } from './buffered-message.ts'
import { Exclusions } from './exclusions.ts'
import type { Floor } from './floor.ts'
import type { Lanes } from './lanes.ts'
import { Memory } from './memory.ts'
import { RestingStreams } from './resting-streams.ts'
import { Schedule } from './schedule.ts'
import { StaleStreams } from './stale-streams.ts'
import { Ways } from './ways.ts'

/** What became of a batch whose publish is over. What is in neither list was accepted. */
export interface BatchEnd {
  /** They pay an attempt or are dead: their streams are blocked from them on. */
  readonly failed: readonly BufferedMessage[]
  /** Not accepted, and nobody pays: they wait again, in their old place. */
  readonly returned: readonly BufferedMessage[]
}

/**
 * The one owner of every message that this relay has read and not seen the end of. Pure.
 *
 * Invariant: such a message *waits* in its place by seq, is *in flight*, or is *ending* (the statement that deletes or changes it is
 * under way); there is no fourth place. When the way to it is closed (see `Ways`), what waits is forgotten at once and read again
 * later; what is in flight is forgotten when it comes back.
 */
export class Backlog {
  readonly #memory = new Memory()
  readonly #schedule: Schedule
  readonly #ways: Ways
  readonly #resting = new RestingStreams()
  readonly #stale = new StaleStreams()
  /** What each query is to leave out. */
  readonly exclusions: Exclusions

  /** @param routeOf - topics of different routes never share a batch */
  constructor(lanes: Lanes, floor: Floor, routeOf?: (topic: string) => string) {
    this.#schedule = new Schedule(routeOf)
    this.#ways = new Ways(lanes, floor)
    this.exclusions = new Exclusions({ memory: this.#memory, ways: this.#ways, resting: this.#resting, floor })
  }

  get count(): number {
    return this.#memory.count
  }

  /** Messages that wait to be taken, sendable or not. */
  get waiting(): number {
    return this.#schedule.length
  }

  get bytes(): number {
    return this.#memory.bytes
  }

  /** Messages of the lane whose end is not seen yet. */
  countOf(lane: number): number {
    return this.#memory.countOf(lane)
  }

  /** Whether a message of the lane up to `seq` is known. */
  hasUpTo(lane: number, seq: number): boolean {
    return this.#memory.hasUpTo(lane, seq)
  }

  /** What a look at waiting messages showed: the first of these streams is not due. @param isPartial - more waits than it took in */
  rest(streams: readonly string[], isPartial: boolean): void {
    this.#resting.found(streams, isPartial)
  }

  /** Whether something of the stream that had waited is in memory. */
  hasWaited(stream: string): boolean {
    return this.#memory.hasWaited(stream)
  }

  get blockedCount(): number {
    return this.#ways.blocks.size
  }

  get hasHeld(): boolean {
    return this.#ways.blocks.hasHeld
  }

  /** Topics that are suspended for this reason, among others perhaps. */
  suspendedBy(reason: string): string[] {
    return this.#ways.suspensions.suspendedBy(reason)
  }

  /** An operator paused it: not even its destination is tried with it. */
  isPaused(topic: string): boolean {
    return this.#ways.isPaused(topic)
  }

  /** Call before a read of the lanes is sent that leaves out the suspended topics and the blocked streams. */
  beginRead(lanes: readonly number[]): void {
    this.#ways.beginRead(lanes)
  }

  /** A ready message was read. @returns false when the way to it was closed meanwhile */
  add(message: BufferedMessage): boolean {
    if (!this.#ways.takesReady(message)) return false
    this.#memory.add(message)
    this.#schedule.add(message)
    return true
  }

  /** Call before the query is sent for what `addWaiting` or `takeProbe` gets, and `endAsking` when that is decided. */
  beginAsking(): void {
    this.#stale.begin()
  }

  endAsking(): void {
    this.#stale.end()
  }

  /**
   * A failed or replayed message that is due was read, and in sequence all that waits before it in its stream and was not in
   * memory when the query was sent. What is ready behind it must not overtake it.
   */
  addWaiting(message: BufferedMessage): boolean {
    const { stream, seq } = message
    if (this.#memory.has(seq) || this.#stale.has(stream) || !this.#ways.takesWaiting(message)) return false
    if (stream !== null) this.#blockBehind(stream, message)
    this.#memory.add(message)
    this.#schedule.add(message)
    return true
  }

  /**
   * Messages of suspended topics that were read to try their destination.
   *
   * @param maxBytes - of bodies in memory; where nothing fits one is taken all the same, or a full memory would keep its destination closed
   * @returns those that may be sent: they count as taken
   */
  takeProbe(samples: readonly BufferedMessage[], maxBytes: number): readonly BufferedMessage[] {
    const probe = new Group(new Batch(samples.length, maxBytes - this.bytes))
    return samples.filter((message) => {
      const { stream, seq, hasWaited } = message
      if (this.#memory.has(seq) || this.#stale.has(stream) || !this.#ways.isOpen(message, true)) return false
      if (stream !== null && this.#schedule.has(stream)) return false
      this.#memory.recall(message)
      if (!probe.takes(message, this.#schedule.limitOf(message))) return false
      if (stream !== null && hasWaited) this.#blockBehind(stream, message)
      this.#memory.add(message)
      this.#schedule.addTaken(message)
      return true
    })
  }

  /** At most `limit` messages and `maxBytes` bytes to send now. They are in flight until `end`. */
  take(limit: number, maxBytes?: number, isFull?: (route: string) => boolean): readonly BufferedMessage[] {
    return this.#schedule.take(limit, maxBytes, isFull)
  }

  /** Whether the way to one of them was closed since they were taken: what is not sent yet goes back then. */
  isClosedTo(batch: readonly BufferedMessage[], isProbe: boolean): boolean {
    return batch.some((message) => !this.#ways.isOpen(message, isProbe))
  }

  /** The publish of the batch is over. */
  end(batch: readonly BufferedMessage[], { failed, returned }: BatchEnd): void {
    for (const message of failed) {
      const { stream } = message
      if (stream === null) continue
      this.#ways.fail(stream, message)
      this.#stale.note(stream)
      this.#dropStream(stream)
    }
    for (const message of returned) this.#takeBack(message)
    this.#schedule.release(batch)
  }

  /** The end of accepted messages is committed. */
  settled(messages: readonly BufferedMessage[]): void {
    for (const message of messages) this.#memory.delete(message)
  }

  /** The end of failed messages is committed. @param held - those of them that hold their streams: what waits behind stays there at once */
  confirmed(messages: readonly BufferedMessage[], held: readonly BufferedMessage[] = []): void {
    this.settled(messages)
    for (const message of messages) this.#ways.confirm(message)
    for (const message of held) this.#ways.hold(message)
  }

  /** An outage ended: batches that were rejected in it are not suspected of anything. */
  outageEnded(): void {
    this.#schedule.outages++
  }

  get outages(): number {
    return this.#schedule.outages
  }

  /** The topic's messages share batches with no other topic's until `mix`. */
  isolate(topic: string): void {
    if (this.#schedule.isIsolated(topic)) return
    this.#schedule.isolate(topic)
    for (const message of this.#schedule.dropTopic(topic)) this.#schedule.add(message)
  }

  mix(topic: string): void {
    this.#schedule.mix(topic)
  }

  /** Nothing of the topic is read or sent until the reason, and every other one, is gone. */
  suspend(topic: string, reason: string): void {
    if (!this.#ways.suspend(topic, reason)) return
    for (const message of this.#schedule.dropTopic(topic)) this.#leave(message)
  }

  /** @returns whether the topic goes on: there may be more to read, ready and waiting */
  resume(topic: string, reason: string): boolean {
    return this.#ways.resume(topic, reason)
  }

  /** Call before the query is sent that asks which streams are blocked; hand the number to `reloadBlocks`. */
  beginReload(): number {
    return this.#ways.beginReload()
  }

  /** @param rows - what the query showed of the lanes: none for one of which nothing is blocked */
  reloadBlocks(begun: number, lanes: readonly number[], rows: readonly BlocksOfLane[]): void {
    this.#resting.wake()
    const isBlocked = this.#ways.reload(begun, lanes, rows)
    // What waits in the table goes first, and what an operator holds not at all, also where the stream was blocked before.
    for (const { name, lane } of this.#schedule.streams()) if (isBlocked(name, lane)) this.#dropClosed(name)
  }

  /** The lane is on its way to another relay: nothing of it is sent any more. Mark it as leaving first. */
  leaveLane(lane: number): void {
    for (const message of this.#schedule.dropLane(lane)) this.#return(message)
  }

  /** The lane is another relay's. */
  removeLane(lane: number): void {
    this.#memory.forgetAccusations() // Some are of its messages.
    this.#ways.removeLane(lane)
  }

  #blockBehind(stream: string, message: BufferedMessage): void {
    if (this.#ways.blockBehind(stream, message)) this.#dropStream(stream)
  }

  /** Its old place, unless the way to it was closed while it was in flight. */
  #takeBack(message: BufferedMessage): void {
    if (!this.#ways.isInTurn(message)) return this.#return(message)
    if (this.#ways.suspensions.has(message.message.topic)) return this.#leave(message)
    this.#schedule.add(message)
  }

  /** Of a stream that is blocked. */
  #dropStream(stream: string): void {
    for (const message of this.#schedule.dropStream(stream)) this.#return(message)
  }

  /** Of a stream that is blocked what may not be sent before something else of it was read. */
  #dropClosed(stream: string): void {
    for (const message of this.#schedule.dropStream(stream)) {
      if (this.#ways.isInTurn(message)) this.#schedule.add(message)
      else this.#return(message)
    }
  }

  /** It stays in the table, behind its suspended topic. */
  #leave(message: BufferedMessage): void {
    this.#ways.passBySuspended(message)
    this.#memory.keepAccusation(message)
    this.#return(message)
  }

  /** It is not read any more, and stays in the table. */
  #return(message: BufferedMessage): void {
    this.#ways.leave(message)
    if (message.stream !== null) this.#stale.note(message.stream)
    this.#memory.delete(message)
  }
}
