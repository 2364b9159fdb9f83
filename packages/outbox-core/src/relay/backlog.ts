import { Batch, Group } from './batch.ts'
import type { BlocksOfLane } from '../postgres/lane-reads.ts'
import { Blocks } from './blocks.ts'
import type { BufferedMessage } from './buffered-message.ts'
import type { Floor } from './floor.ts'
import type { Lanes } from './lanes.ts'
import { Memory } from './memory.ts'
import { Schedule } from './schedule.ts'
import { pausedByOperator, Suspensions } from './suspensions.ts'

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
 * Such a message *waits* in its place by seq, is *in flight*, or is *ending* (the statement that deletes or changes it is under
 * way); there is no fourth place. Nothing known is read a second time: each read is told the seqs, as they were when it was
 * sent, so that one which is deleted while a read with an older snapshot is on its way does not come back by it.
 *
 * Three things close the way to a message: its stream is blocked (an earlier one waits in the table, or an operator holds the
 * key), its topic is suspended, its lane leaves. Each is opened and closed here. What waits behind it is forgotten at once and
 * read again later; what is in flight is forgotten when it comes back.
 */
export class Backlog {
  readonly #lanes: Lanes
  readonly #floor: Floor
  readonly #memory = new Memory()
  readonly #schedule: Schedule
  readonly #blocks = new Blocks()
  readonly #suspensions = new Suspensions()
  /** Streams whose first waiting message is not due, while there is more to read than one look takes in: they leave it to others. */
  readonly #resting = new Set<string>()
  /** Streams of which something went back to the table since what waits was asked for; null while nobody asks. */
  #leftSinceAsked: Set<string> | null = null

  /** @param routeOf - topics of different routes never share a batch */
  constructor(lanes: Lanes, floor: Floor, routeOf?: (topic: string) => string) {
    this.#schedule = new Schedule(routeOf)
    this.#lanes = lanes
    this.#floor = floor
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

  /** All known seqs as a PostgreSQL array literal; of those above their lane's floor only when `isAboveFloor`. */
  seqs(isAboveFloor = false): string {
    const seqs: number[] = []
    for (const { seq, lane } of this.#memory.all()) if (!isAboveFloor || seq > this.#floor.of(lane)) seqs.push(seq)
    return `{${seqs.join(',')}}`
  }

  /** As a PostgreSQL array literal. */
  blockedStreams(lanes?: readonly number[]): string {
    return this.#blocks.names(lanes)
  }

  /** Of `blockedStreams` those that a read of ready messages is to leave out. */
  get skippedStreams(): string {
    return this.#blocks.skipped()
  }

  /**
   * Streams of which nothing that waits is to be read: held, resting, or what failed of them is not written down yet. As a
   * PostgreSQL array literal.
   */
  closedStreams(lanes?: readonly number[]): string {
    return this.#blocks.closed(this.#resting, lanes)
  }

  /** Those, and the streams of which something that had waited is in memory: what waits is not their first. */
  streamsNotToProbe(lanes?: readonly number[]): string {
    return this.#blocks.closed([...this.#memory.waitedStreams(), ...this.#resting], lanes)
  }

  /** The first of these streams is not due, as a look says. They rest until a look takes all in, or the blocks are loaded anew. */
  rest(streams: readonly string[], isPartial: boolean): void {
    if (!isPartial) this.#resting.clear()
    else for (const stream of streams) this.#resting.add(stream)
  }

  /** Whether something of the stream that had waited is in memory. */
  hasWaited(stream: string): boolean {
    return this.#memory.hasWaited(stream)
  }

  /** Seqs of what had waited and is in memory, as a PostgreSQL array literal. */
  get waitedSeqs(): string {
    return this.#memory.waitedSeqs()
  }

  get blockedCount(): number {
    return this.#blocks.size
  }

  get hasHeld(): boolean {
    return this.#blocks.hasHeld
  }

  get suspendedTopics(): string[] {
    return this.#suspensions.topics()
  }

  /** Topics that are suspended for this reason, among others perhaps. */
  suspendedBy(reason: string): string[] {
    return this.#suspensions.suspendedBy(reason)
  }

  /** An operator paused it: not even its destination is tried with it. */
  isPaused(topic: string): boolean {
    return this.#suspensions.isSuspendedBy(topic, pausedByOperator)
  }

  /** Call before a read of the lanes is sent that leaves out `suspendedTopics` and `blockedStreams`. */
  beginRead(lanes: readonly number[]): void {
    this.#suspensions.beginRead()
    const froms = new Map(lanes.map((lane) => [lane, this.#floor.of(lane) + 1]))
    for (const [lane, from] of froms) this.#suspensions.passBy(lane, from)
    this.#blocks.passBy(froms)
  }

  /** A ready message was read. @returns false when the way to it was closed meanwhile */
  add(message: BufferedMessage): boolean {
    if (message.stream !== null && this.#blocks.leave(message.stream, message.lane, message.seq)) return false
    if (this.#suspensions.hadSinceRead(message.message.topic)) return false
    this.#memory.add(message)
    this.#schedule.add(message)
    return true
  }

  /** Call before the query is sent for what `addWaiting` or `takeProbe` gets, and `endAsking` when that is decided. */
  beginAsking(): void {
    this.#leftSinceAsked = new Set()
  }

  endAsking(): void {
    this.#leftSinceAsked = null
  }

  /**
   * A failed or replayed message that is due was read, and in sequence all that waits before it in its stream and was not in
   * memory when the query was sent. What is ready behind it must not overtake it.
   */
  addWaiting(message: BufferedMessage): boolean {
    const { stream, lane, seq } = message
    if (!this.#lanes.isActive(lane) || this.#suspensions.has(message.message.topic) || this.#memory.has(seq))
      return false
    if (stream !== null && (this.#blocks.isHeld(stream, lane) || this.#leftSinceAsked?.has(stream) === true))
      return false
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
    // One that was in flight when the query was sent, and not seen by it, may be in the table again, before what was seen.
    const left = this.#leftSinceAsked
    return samples.filter((message) => {
      const { stream, lane, seq, hasWaited } = message
      if (stream !== null && left?.has(stream) === true) return false
      if (this.isPaused(message.message.topic) || !this.#lanes.isActive(lane) || this.#memory.has(seq)) return false
      if (stream !== null && (this.#schedule.has(stream) || this.#isBlocked(message))) return false
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
    return batch.some((message) => {
      const { topic } = message.message
      const isSuspended = isProbe ? this.isPaused(topic) : this.#suspensions.has(topic)
      return isSuspended || !this.#lanes.isActive(message.lane) || this.#isBlocked(message)
    })
  }

  /** The publish of the batch is over. */
  end(batch: readonly BufferedMessage[], { failed, returned }: BatchEnd): void {
    for (const { stream, lane, seq } of failed) {
      if (stream === null) continue
      this.#blocks.fail(stream, lane, seq)
      this.#leftSinceAsked?.add(stream)
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
    for (const { stream, lane } of messages) if (stream !== null) this.#blocks.confirm(stream, lane)
    for (const { stream, lane } of held) if (stream !== null) this.#blocks.hold(stream, lane)
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
    if (!this.#suspensions.suspend(topic, reason)) return
    for (const { lane } of this.#lanes.all()) this.#suspensions.passBy(lane, this.#floor.of(lane) + 1, [topic])
    for (const message of this.#schedule.dropTopic(topic)) this.#leave(message)
  }

  /** @returns whether the topic goes on: there may be more to read, ready and waiting */
  resume(topic: string, reason: string): boolean {
    const rewinds = this.#suspensions.resume(topic, reason)
    for (const { lane, seq } of rewinds ?? []) if (this.#lanes.get(lane)) this.#floor.rewind(lane, seq)
    return rewinds !== null
  }

  /** Call before the query is sent that asks which streams are blocked; hand the number to `reloadBlocks`. */
  beginReload(): number {
    return this.#blocks.beginReload()
  }

  /** @param rows - what the query showed of the lanes: none for one of which nothing is blocked */
  reloadBlocks(begun: number, lanes: readonly number[], rows: readonly BlocksOfLane[]): void {
    this.#resting.clear()
    const ours = new Set(lanes.filter((lane) => this.#lanes.get(lane) !== undefined))
    for (const { lane, seq } of this.#blocks.reload(begun, ours, rows)) this.#floor.rewind(lane, seq)
    // What waits in the table goes first, and what an operator holds not at all, also where the stream was blocked before.
    for (const { name, lane } of this.#schedule.streams())
      if (ours.has(lane) && this.#blocks.has(name, lane)) this.#dropClosed(name)
  }

  /** The lane is on its way to another relay: nothing of it is sent any more. Mark it as leaving first. */
  leaveLane(lane: number): void {
    for (const message of this.#schedule.dropLane(lane)) this.#return(message)
  }

  /** The lane is another relay's. */
  removeLane(lane: number): void {
    this.#memory.forgetAccusations() // Some are of its messages.
    this.#blocks.removeLane(lane)
    this.#suspensions.removeLane(lane)
  }

  #blockBehind(stream: string, { lane, seq }: BufferedMessage): void {
    const wasBlocked = this.#blocks.has(stream, lane)
    this.#blocks.read(stream, lane, seq)
    if (!wasBlocked) this.#dropStream(stream)
  }

  /** Its old place, unless the way to it was closed while it was in flight. */
  #takeBack(message: BufferedMessage): void {
    if (!this.#lanes.isActive(message.lane) || this.#isBlocked(message)) return this.#return(message)
    if (this.#suspensions.has(message.message.topic)) return this.#leave(message)
    this.#schedule.add(message)
  }

  /** An earlier one of its stream waits in the table, or an operator holds the key. */
  #isBlocked({ stream, lane, seq, hasWaited }: BufferedMessage): boolean {
    if (stream === null) return false
    return hasWaited ? this.#blocks.isClosed(stream, lane, seq) : this.#blocks.has(stream, lane)
  }

  /** Of a stream that is blocked. */
  #dropStream(stream: string): void {
    for (const message of this.#schedule.dropStream(stream)) this.#return(message)
  }

  /** Of a stream that is blocked what may not be sent before something else of it was read. */
  #dropClosed(stream: string): void {
    for (const message of this.#schedule.dropStream(stream)) {
      if (this.#isBlocked(message)) this.#return(message)
      else this.#schedule.add(message)
    }
  }

  /** It stays in the table, behind its suspended topic. */
  #leave(message: BufferedMessage): void {
    this.#suspensions.passBy(message.lane, message.seq, [message.message.topic])
    this.#memory.keepAccusation(message)
    this.#return(message)
  }

  /** It is not read any more, and stays in the table. */
  #return(message: BufferedMessage): void {
    const { stream, lane, seq, hasWaited } = message
    if (stream !== null) {
      this.#blocks.leave(stream, lane, seq, hasWaited)
      this.#leftSinceAsked?.add(stream)
    }
    this.#memory.delete(message)
  }
}
