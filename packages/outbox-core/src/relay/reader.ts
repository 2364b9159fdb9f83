import { orderOf, type OutboxMessage } from '../message.ts'
import { sqlStateOf } from '../postgres/queryable.ts'
import type { RelayStatements } from '../postgres/relay-statements.ts'
import type { Backlog } from './backlog.ts'
import type { BlockRow } from './blocks.ts'
import type { BufferedMessage } from './buffered-message.ts'
import type { Connection } from './connections.ts'
import type { Floor } from './floor.ts'
import { headersOf, instantOf } from './foreign-input.ts'
import type { Lane, Lanes } from './lanes.ts'
import { companyOf } from './suspicion.ts'
import type { Trial } from './trial.ts'

export interface ReaderParts {
  readonly connection: Connection
  /** The connections are known to be sessions of our own: statements may be planned once. See `prepareReader`. */
  readonly isSession: boolean
  readonly statements: RelayStatements
  readonly barrierStatement: string
  /** The relay's own backends, whose deletes take the writers' lock too. Counted as nobody's only while `isSession` says so. */
  readonly ownPids: readonly number[]
  readonly floor: Floor
  readonly lanes: Lanes
  readonly backlog: Backlog
  readonly maxMessages: number
  readonly maxBytes: number
  /** Larger bodies are left in the table. */
  readonly maxPayloadBytes: number
  /** A message that ended so many relays, each time alone, is left there too. */
  readonly maxAttempts: number
  /** Names what is read alone because it may be what ended other relays. */
  readonly trial: Trial
}

export interface ReadReport {
  /** Messages that were added to the schedule. */
  readonly messages: number
  /** There may be more: a limit was hit, or the read was thrown away. */
  readonly isPartial: boolean
}

/** A cached plan compares each row with the known messages one by one. */
const maxKnownPrepared = 100

/**
 * Run once on a reading connection that is a session. A plan that is cached may be made while the table is empty and used
 * when it is full: leaves only the index that is right for both. Compilation is off with it: before PostgreSQL 18, looking
 * at the sequence has no other plan than one that was forbidden, whose estimated cost would have every barrier compiled.
 */
export async function prepareReader(connection: Connection): Promise<void> {
  await connection.query(
    `select set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false), set_config('jit', 'off', false)`,
  )
}

/** SQLSTATE of a statement that the server cancelled, for its `statement_timeout` or for an operator. */
const cancelled = '57014'

/** Reads get no smaller than by this factor: one row of a lane, and hardly a body. */
const smallestPortion = 2 ** -14

/** Waiting messages that are read at once: so many follow each other of one order before the next look. */
const maxWaiting = 2_000

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
    if (suspect === undefined) return this.#read(active, this.#share(active))
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
    const { reach, isFull } = coverage(active, shares, rows, (row) => this.#isWithheld(row))
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
    const { connection, isSession, barrierStatement, ownPids, floor } = this.#parts
    // Behind a pooler a backend that was ours may run a writer's transaction now: nobody is left out then.
    const { rows } = isSession
      ? await connection.queryPrepared('malote barrier', barrierStatement, [ownPids])
      : await connection.query(barrierStatement, [[]])
    const drawn = Number(rows[0]?.['drawn'])
    // After TRUNCATE … RESTART IDENTITY, a failover or a restore new messages lie below what was read past.
    if (drawn < this.#drawn)
      throw new Error(`the sequence of messages went back from ${String(this.#drawn)} to ${String(drawn)}`)
    this.#drawn = drawn
    floor.noteBarrier({ drawn, holders: rows[0]?.['holders'] as string[] })
  }

  /** Reads failed and replayed messages that are due, of each order in sequence. Independent of the floor: they keep their old seq. */
  async readWaiting(): Promise<ReadReport> {
    const { connection, statements, lanes, backlog, maxBytes, maxPayloadBytes, maxAttempts } = this.#parts
    const active = lanes.active()
    const limit = Math.min(this.space, Math.ceil(maxWaiting * this.#portion))
    const maxSize = (maxBytes - backlog.bytes) * this.#byteShare(active)
    if (active.length === 0 || limit === 0) return { messages: 0, isPartial: active.length > 0 }
    const isEmpty = backlog.bytes === 0
    const known = backlog.seqs()
    const values = [
      active.map((lane) => lane.lane),
      backlog.closedOrders,
      known,
      limit,
      maxSize,
      maxPayloadBytes,
      isEmpty,
      backlog.suspendedTopics,
      maxAttempts,
    ]
    backlog.beginAsking()
    const rows = await connection.query(statements.readWaiting, values).then(
      (result) => result.rows,
      (error: unknown) => this.#readLess(error),
    )
    const messages = rows === null ? 0 : this.#enqueueWaiting(active, rows)
    backlog.endAsking()
    if (rows === null) return { messages, isPartial: true }
    return { messages, isPartial: rows[0]?.['due'] === limit || this.#isWaitingWithheld }
  }

  #enqueueWaiting(active: readonly Lane[], rows: readonly Record<string, unknown>[]): number {
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

  /** A few messages of suspended topics, the first of their orders, to try a destination with. */
  async readSamples(topics: readonly string[]): Promise<readonly BufferedMessage[]> {
    const { connection, statements, lanes, backlog, maxPayloadBytes, maxAttempts } = this.#parts
    const active = lanes.active().map(({ lane }) => lane)
    const orders = [backlog.blockedOrders, backlog.closedOrders]
    backlog.beginAsking()
    const values = [active, topics, backlog.seqs(), ...orders, maxSamples, maxPayloadBytes, maxAttempts]
    const { rows } = await connection.query(statements.readSamples, values)
    return rows.map((row) => this.#toMessage(row, row['waited'] === true))
  }

  /** Some order of the lanes waits. */
  get isAnyBlocked(): boolean {
    return this.#parts.backlog.hasBlocked
  }

  /** Learns which orders of the lanes wait. Must have run before a lane is read for the first time. */
  async loadBlocks(loading: readonly Lane[] = this.#parts.lanes.all()): Promise<void> {
    const { connection, statements, backlog } = this.#parts
    if (loading.length === 0) return
    const begun = backlog.beginReload()
    const numbers = loading.map(({ lane }) => lane)
    const { rows } = await connection.query(statements.loadBlocks, [numbers, backlog.waitedSeqs])
    backlog.reloadBlocks(begun, numbers, rows as unknown as BlockRow[])
    for (const lane of loading) lane.isReady = true
  }

  /** The net: looks below the floor of some lanes for what must not be there. @returns how many messages it found */
  async findMissed(isChosen: (lane: number) => boolean): Promise<number> {
    const { connection, statements, lanes, floor, backlog } = this.#parts
    const chosen = lanes.active().filter((lane) => isChosen(lane.lane))
    if (chosen.length === 0) return 0
    const numbers = chosen.map((lane) => lane.lane)
    const floors = numbers.map((lane) => floor.of(lane))
    const values = [numbers, floors, backlog.seqs(), backlog.blockedOrders, backlog.suspendedTopics]
    const { rows } = await connection.query(statements.findMissed, values)
    let found = 0
    for (const row of rows) {
      floor.rewind(Number(row['lane']), Number(row['seq']))
      found += Number(row['messages'])
    }
    return found
  }

  async #queryReady(active: readonly Lane[], shares: readonly Share[]): Promise<Record<string, unknown>[]> {
    const { connection, isSession, statements, floor, backlog, maxPayloadBytes, maxAttempts } = this.#parts
    const blocked = backlog.skippedOrders
    const suspended = backlog.suspendedTopics
    const values = [
      `{${active.map((lane) => lane.lane).join(',')}}`,
      `{${active.map((lane) => floor.of(lane.lane)).join(',')}}`,
      `{${shares.map((share) => share.limit).join(',')}}`,
      `{${shares.map((share) => share.bytes).join(',')}}`,
      // What lies below a floor is not looked at anyway, and in a backlog that is all there is to know.
      backlog.seqs(true),
      blocked,
      maxPayloadBytes,
      suspended,
      maxAttempts,
    ]
    // Planning takes twice as long as reading a few messages.
    const { rows } =
      isSession && backlog.count <= maxKnownPrepared && blocked.length === 0 && suspended.length === 0
        ? await connection.queryPrepared('malote read', statements.read, values)
        : await connection.query(statements.read, values)
    this.#portion = Math.min(1, this.#portion * 2)
    return rows
  }

  #enqueueReady(active: readonly Lane[], rows: readonly Record<string, unknown>[]): number {
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

  #toMessage(row: Record<string, unknown>, hasWaited: boolean): BufferedMessage {
    const message = messageOf(row)
    const [seq, lane] = [Number(row['seq']), Number(row['lane'])]
    const diedAmong = row['died_among'] as number | null
    const company = companyOf(diedAmong, this.#parts.lanes.isSuspected(lane, seq))
    const isRead = hasBody(row)
    return {
      seq,
      lane,
      order: orderOf(message),
      hasWaited,
      company,
      diedAlone: diedAmong === 1,
      message,
      bytes: isRead ? Number(row['size']) : 0,
      ...(isRead ? undefined : { tooLarge: Number(row['largest']) }),
    }
  }

  /** It did not fit into the bytes of this read; one that is too large, or has ended too many relays, goes on without its body. */
  #isWithheld(row: Record<string, unknown>): boolean {
    const { maxPayloadBytes, maxAttempts } = this.#parts
    const isSpent = row['died_among'] === 1 && Number(row['attempts']) >= maxAttempts
    return !hasBody(row) && Number(row['largest']) <= maxPayloadBytes && !isSpent
  }

  /** Of the free bytes: less after each death of an owner from the second on, so that what they may have died of is read alone. */
  #byteShare(active: readonly Lane[]): number {
    const deaths = Math.max(0, ...active.map(({ crashes }) => crashes))
    return Math.min(this.#portion, 4 ** -Math.min(5, Math.max(0, deaths - 1)))
  }

  /**
   * Splits the free space: a lane that came back full last time wants twice as many rows, others half. Of the bytes the
   * messages that did not fit last time get theirs first, oldest first, and the other lanes what is left. Together no more
   * than is free, except for one message alone.
   */
  #share(active: readonly Lane[]): Share[] {
    const { backlog, maxBytes } = this.#parts
    const wanted = active.reduce((sum, lane) => sum + lane.limit, 0)
    const scale = Math.min(1, this.space / wanted) * this.#portion
    let free = Math.floor((maxBytes - backlog.bytes) * this.#byteShare(active))
    const given = new Map<Lane, number>()
    for (const lane of active.filter(({ withheld }) => withheld !== null).sort(bySeqWithheld)) {
      const bytes = lane.withheld?.bytes ?? 0
      const isAlone = given.size === 0 && backlog.bytes === 0
      if (bytes > free && !isAlone) {
        free = Math.floor(free / 2) // What the others may fill meanwhile: all of it, and the large one would never fit.
        break
      }
      given.set(lane, bytes)
      free -= bytes
    }
    const others = active.filter(({ withheld }) => withheld === null)
    const bytesEach = Math.max(0, free) / others.reduce((sum, lane) => sum + lane.limit, 0)
    return active.map((lane) => ({
      limit: Math.max(1, Math.floor(lane.limit * scale)),
      bytes: lane.withheld === null ? Math.floor(bytesEach * lane.limit) : (given.get(lane) ?? 0),
    }))
  }
}

interface Share {
  readonly limit: number
  readonly bytes: number
}

/** Up to where each lane was covered completely; lanes that hit a limit get a larger share next time. */
function coverage(
  active: readonly Lane[],
  shares: readonly Share[],
  rows: readonly Record<string, unknown>[],
  isWithheld: (row: Record<string, unknown>) => boolean,
): { reach: ReadonlyMap<number, number>; isFull: boolean } {
  const seen = new Map<number, { rows: number; last: number; withheld: Lane['withheld'] }>()
  for (const row of rows) {
    const [lane, seq] = [Number(row['lane']), Number(row['seq'])]
    const sum = seen.get(lane) ?? { rows: 0, last: 0, withheld: null }
    sum.rows++
    sum.last = Math.max(sum.last, seq)
    if (isWithheld(row)) sum.withheld = { seq, id: row['id'] as string, bytes: Number(row['size']) }
    seen.set(lane, sum)
  }
  const reach = new Map<number, number>()
  let isAnyFull = false
  active.forEach((lane, at) => {
    const share = shares[at] as Share
    const sum = seen.get(lane.lane)
    lane.withheld = sum?.withheld ?? null
    const isFull = lane.withheld === null && sum !== undefined && sum.rows >= share.limit
    if (lane.withheld !== null) reach.set(lane.lane, lane.withheld.seq - 1)
    else reach.set(lane.lane, isFull ? (sum?.last ?? 0) : Number.POSITIVE_INFINITY)
    lane.limit = isFull ? Math.min(lane.limit * 2, 10_000) : Math.max(16, lane.limit >> 1)
    isAnyFull ||= isFull
  })
  return { reach, isFull: isAnyFull }
}

function oldestWithheld(lanes: readonly Lane[]): Lane | undefined {
  return lanes.filter(({ withheld }) => withheld !== null).sort(bySeqWithheld)[0]
}

const bySeqWithheld = (a: Lane, b: Lane): number => (a.withheld?.seq ?? 0) - (b.withheld?.seq ?? 0)

const hasBody = (row: Record<string, unknown>): boolean => row['payload'] !== null || row['payload_binary'] !== null

function messageOf(row: Record<string, unknown>): OutboxMessage {
  return {
    id: row['id'] as string,
    topic: row['topic'] as string,
    type: row['type'] as string,
    orderingKey: row['ordering_key'] as string | null,
    headers: headersOf(row['headers'] as string | null),
    body: (row['payload'] ?? row['payload_binary'] ?? '') as string | Uint8Array,
    contentType: row['content_type'] as string,
    createdAt: instantOf(Number(row['created_s']) * 1000),
    attempt: Number(row['attempts']) + 1,
  }
}
