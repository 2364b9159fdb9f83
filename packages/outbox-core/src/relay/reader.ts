import type { LaneReads } from '../postgres/lane-reads.ts'
import type { LaneShare, MessageReads, MessageRow, SampleRow } from '../postgres/message-reads.ts'
import { sqlStateOf } from '../postgres/queryable.ts'
import type { Backlog } from './backlog.ts'
import type { BufferedMessage } from './buffered-message.ts'
import type { Floor } from './floor.ts'
import type { Lane, Lanes } from './lanes.ts'
import { isWithheld, messageOfRow, type ReadLimits } from './message-of-row.ts'
import { carefulShare, coverage, inRandomOrder, type LaneYield, oldestWithheld, type Room, shareOut } from './shares.ts'
import type { Trial } from './trial.ts'

export interface ReaderParts extends ReadLimits {
  readonly reads: MessageReads & LaneReads
  readonly floor: Floor
  readonly lanes: Lanes
  readonly backlog: Backlog
  readonly maxMessages: number
  readonly maxBytes: number
  /** Names what is read alone because it may be what ended other relays. */
  readonly trial: Trial
}

type Share = Pick<LaneShare, 'limit' | 'bytes'>

export interface ReadReport {
  /** Messages that were added to the schedule. */
  readonly messages: number
  /** There may be more: a limit was hit, or the read was thrown away. */
  readonly isPartial: boolean
}

/** SQLSTATE of a statement that the server cancelled, for its `statement_timeout` or for an operator. */
const cancelled = '57014'

/** Reads get no smaller than by this factor: one row of a lane, and hardly a body. */
const smallestPortion = 2 ** -14

/** Waiting messages that are read at once: so many follow each other of one stream before the next look. Leaves room for others. */
const maxWaiting = 3_000

/** Lanes in which a message is looked for that tries a destination. So many PostgreSQL expects in any array: with fewer it would plan each look anew. */
const fewLanes = 10

/** Messages that try a destination together: more than one, because one may be refused for reasons of its own. */
const maxSamples = 4

/**
 * Reads ahead of the publisher, within the memory bound, and never skips a message: see floor.ts. Its methods must not
 * overlap; the session calls them one after the other, and tests call them step by step.
 */
export class Reader {
  readonly #parts: ReaderParts
  #isWaitingWithheld = false
  #drawn = 0
  /** Of what a read might bring: halved when the server cancels one, and doubled with each that gets through. */
  #portion = 1

  constructor(parts: ReaderParts) {
    this.#parts = parts
  }

  /** Messages that fit into the buffer now. */
  get space(): number {
    const { backlog, maxMessages, maxBytes } = this.#parts
    return backlog.bytes >= maxBytes ? 0 : Math.max(0, maxMessages - backlog.count)
  }

  /** The last reads left something in the table for which there were no bytes. */
  get isShortOfBytes(): boolean {
    return this.#isWaitingWithheld || oldestWithheld(this.#parts.lanes.active()) !== undefined
  }

  /** Reads what is ready in all active lanes into the schedule. */
  async read(): Promise<ReadReport> {
    const { backlog, lanes } = this.#parts
    const active = lanes.active()
    if (active.length === 0 || this.space === 0) return { messages: 0, isPartial: active.length > 0 }
    const suspect = oldestWithheld(
      active.filter(({ lane, withheld }) => lanes.isSuspected(lane, withheld?.seq ?? Infinity)),
    )
    if (suspect === undefined) return this.#read(active, shareOut(active, this.#room(active), this.#portion))
    // What is in memory goes first, with nothing new beside it.
    return backlog.count > 0 ? { messages: 0, isPartial: false } : this.#readAlone(suspect)
  }

  /** Reading it may be what ended the lane's former owners: should the process die now, it was this one. */
  async #readAlone(lane: Lane): Promise<ReadReport> {
    const { trial } = this.#parts
    const { seq, id, bytes } = lane.withheld as NonNullable<Lane['withheld']>
    if (!(await trial.begin([{ lane: lane.lane, seq, message: { id } }]))) return { messages: 0, isPartial: false }
    const { messages } = await this.#read([lane], [{ limit: 1, bytes }])
    await trial.end()
    return { messages, isPartial: true }
  }

  async #read(active: readonly Lane[], shares: readonly Share[]): Promise<ReadReport> {
    const { backlog, floor } = this.#parts
    floor.beginRead()
    backlog.beginRead(active.map(({ lane }) => lane))
    const rows = await this.#queryReady(active, shares).catch((error: unknown) => this.#readLess(error))
    if (rows === null) return { messages: 0, isPartial: true }
    if (floor.needsConfirmation) await this.barrier()
    const { reach, isFull } = coverage(active, shares, this.#yields(rows))
    const numbers = active.map((lane) => lane.lane)
    if (!floor.finishRead(numbers, (lane) => reach.get(lane) ?? 0)) return { messages: 0, isPartial: true }
    const messages = this.#enqueueReady(active, rows)
    return { messages, isPartial: isFull || this.#fitsNow(oldestWithheld(active)) }
  }

  /** A read that took the server too long is sent again for less. @throws what is no such error, or when there is no less */
  #readLess(error: unknown): null {
    if (sqlStateOf(error) !== cancelled || this.#portion <= smallestPortion) throw error
    this.#portion /= 2
    return null
  }

  /** The first message that waits for bytes may have them: they are free, or nothing is in memory and it is alone. */
  #fitsNow(lane: Lane | undefined): boolean {
    const { backlog, maxBytes } = this.#parts
    if (lane === undefined || lane.withheld === null) return false
    return backlog.bytes === 0 || backlog.bytes + lane.withheld.bytes <= maxBytes
  }

  /** Looks who may still commit an older message. */
  async barrier(): Promise<void> {
    const { reads, floor } = this.#parts
    const { drawn, holders } = await reads.barrier()
    // After TRUNCATE … RESTART IDENTITY, a failover or a restore new messages lie below what was read past.
    if (drawn < this.#drawn)
      throw new Error(`the sequence of messages went back from ${String(this.#drawn)} to ${String(drawn)}`)
    this.#drawn = drawn
    floor.noteBarrier({ drawn, holders })
  }

  /** Reads failed and replayed messages that are due, of each stream in sequence. Independent of the floor: they keep their old seq. */
  async readWaiting(): Promise<ReadReport> {
    const { reads, lanes, backlog } = this.#parts
    const active = lanes.active()
    const limit = Math.min(this.space, Math.ceil(maxWaiting * this.#portion))
    if (active.length === 0 || limit === 0) return { messages: 0, isPartial: active.length > 0 }
    const { bytes: maxBytes, isEmpty: isFirstAnySize } = this.#room(active)
    const numbers = active.map(({ lane }) => lane)
    const query = {
      lanes: numbers,
      known: backlog.exclusions.seqs(),
      closedStreams: backlog.exclusions.closedStreams(numbers),
      suspendedTopics: backlog.exclusions.suspendedTopics,
      limit,
      maxBytes,
      isFirstAnySize,
    }
    backlog.beginAsking()
    const read = await reads.waiting(query).catch((error: unknown) => this.#readLess(error))
    const messages = read === null ? 0 : this.#enqueueWaiting(active, read.rows)
    backlog.endAsking()
    if (read === null) return { messages, isPartial: true }
    const isFull = read.due === limit
    backlog.rest(read.resting, isFull)
    return { messages, isPartial: isFull || this.#isWaitingWithheld }
  }

  #enqueueWaiting(active: readonly Lane[], rows: readonly MessageRow[]): number {
    const { backlog } = this.#parts
    const usable = this.#stillOurs(active)
    this.#isWaitingWithheld = rows.some((row) => this.#isWithheld(row))
    let messages = 0
    for (const row of rows) {
      if (this.#isWithheld(row)) continue
      const message = this.#toMessage(row, true)
      if (usable.has(message.lane) && backlog.addWaiting(message)) messages++
    }
    return messages
  }

  /** Not a lane that was handed over, even if it came back since: another relay may have settled what we saw. */
  #stillOurs(active: readonly Lane[]): ReadonlySet<number> {
    const { lanes } = this.#parts
    return new Set(active.filter((lane) => !lane.isLeaving && lanes.get(lane.lane) === lane).map(({ lane }) => lane))
  }

  /** A few messages of suspended topics, the first of their streams, to try a destination with. */
  async readSamples(topics: readonly string[]): Promise<readonly BufferedMessage[]> {
    const { reads, lanes, backlog } = this.#parts
    const { exclusions } = backlog
    const [known, knownCount] = [exclusions.seqs(), backlog.count]
    const numbers = inRandomOrder(lanes.active().map(({ lane }) => lane))
    backlog.beginAsking()
    let rows: readonly SampleRow[] = []
    // Of a lane that has none all is read, and meanwhile nothing that is healthy: few lanes first, then twice as many each time.
    for (let count = fewLanes; rows.length === 0 && numbers.length > 0; count *= 2) {
      const chosen = numbers.splice(0, count)
      const [blockedStreams, closedStreams] = [exclusions.blockedStreams(chosen), exclusions.streamsNotToProbe(chosen)]
      const query = { topics, known, knownCount, lanes: chosen, blockedStreams, closedStreams, limit: maxSamples }
      rows = await reads.samples(query)
    }
    return rows.map((row) => this.#toMessage(row, row.waited))
  }

  /** Streams of the lanes that wait. */
  get blockedCount(): number {
    return this.#parts.backlog.blockedCount
  }

  /** Learns which streams of the lanes wait. Must have run before a lane is read for the first time. */
  async loadBlocks(loading: readonly Lane[] = this.#parts.lanes.all()): Promise<void> {
    const { reads, backlog } = this.#parts
    if (loading.length === 0) return
    const begun = backlog.beginReload()
    const numbers = loading.map(({ lane }) => lane)
    backlog.reloadBlocks(begun, numbers, await reads.blocks(numbers, backlog.exclusions.waitedSeqs))
    for (const lane of loading) lane.isReady = true
  }

  /** The net: looks below the floor of some lanes for what must not be there. @returns how many messages it found */
  async findMissed(isChosen: (lane: number) => boolean): Promise<number> {
    const { reads, lanes, floor, backlog } = this.#parts
    const { exclusions } = backlog
    const chosen = lanes.active().filter((lane) => isChosen(lane.lane))
    if (chosen.length === 0) return 0
    const numbers = chosen.map(({ lane }) => lane)
    const rows = await reads.missed({
      lanes: numbers,
      floors: numbers.map((lane) => floor.of(lane)),
      known: exclusions.seqs(),
      blockedStreams: exclusions.blockedStreams(numbers),
      suspendedTopics: exclusions.suspendedTopics,
    })
    let found = 0
    for (const { lane, seq, messages } of rows) {
      floor.rewind(lane, seq)
      found += messages
    }
    return found
  }

  async #queryReady(active: readonly Lane[], shares: readonly Share[]): Promise<readonly MessageRow[]> {
    const { reads, floor, backlog } = this.#parts
    const { exclusions } = backlog
    const { skippedStreams: blockedStreams, suspendedTopics } = exclusions
    const rows = await reads.ready({
      shares: active.map(({ lane }, at) => ({ lane, floor: floor.of(lane), ...(shares[at] as Share) })),
      // What lies below a floor is not looked at anyway, and in a backlog that is all there is to know.
      known: exclusions.seqs(true),
      knownCount: backlog.count,
      blockedStreams,
      suspendedTopics,
    })
    this.#portion = Math.min(1, this.#portion * 2)
    return rows
  }

  #enqueueReady(active: readonly Lane[], rows: readonly MessageRow[]): number {
    const { backlog } = this.#parts
    const usable = this.#stillOurs(active)
    let messages = 0
    for (const row of rows) {
      if (this.#isWithheld(row)) continue
      const message = this.#toMessage(row, false)
      // What changed while the read was running counts: blocked, suspended and handed over messages stay out.
      if (usable.has(message.lane) && backlog.add(message)) messages++
    }
    return messages
  }

  /** What the rows say of each lane. */
  #yields(rows: readonly MessageRow[]): ReadonlyMap<number, LaneYield> {
    const yields = new Map<number, LaneYield>()
    for (const row of rows) {
      const seq = Number(row.seq)
      const sum = yields.get(row.lane) ?? { rows: 0, last: 0, withheld: null }
      sum.rows++
      sum.last = Math.max(sum.last, seq)
      if (this.#isWithheld(row)) sum.withheld = { seq, id: row.id, bytes: row.size }
      yields.set(row.lane, sum)
    }
    return yields
  }

  #toMessage(row: MessageRow, hasWaited: boolean): BufferedMessage {
    return messageOfRow(row, hasWaited, this.#parts.lanes.isSuspected(row.lane, Number(row.seq)))
  }

  #isWithheld(row: MessageRow): boolean {
    return isWithheld(row, this.#parts)
  }

  /** What there is room for, and of the bytes only what the lanes' past lets us read at once. */
  #room(active: readonly Lane[]): Room {
    const { backlog, maxBytes } = this.#parts
    const bytes = (maxBytes - backlog.bytes) * Math.min(this.#portion, carefulShare(active))
    return { messages: this.space, bytes, isEmpty: backlog.bytes === 0 }
  }
}
