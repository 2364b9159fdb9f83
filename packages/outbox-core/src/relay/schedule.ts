import type { BufferedMessage } from './buffered-message.ts'
import { isSuspect } from './suspicion.ts'

/** A queue that gives back its memory as it is emptied from the front. */
class Fifo<Item> {
  #items: Item[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: Item): void {
    this.#items.push(item)
  }

  shift(): Item | undefined {
    const item = this.#items[this.#head]
    if (item === undefined) return undefined
    this.#head++
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) this.#compact()
    return item
  }

  peek(): Item | undefined {
    return this.#items[this.#head]
  }

  removeWhere(isRemoved: (item: Item) => boolean): Item[] {
    this.#compact()
    const removed = this.#items.filter(isRemoved)
    if (removed.length > 0) this.#items = this.#items.filter((item) => !isRemoved(item))
    return removed
  }

  #compact(): void {
    this.#items = this.#items.slice(this.#head)
    this.#head = 0
  }
}

/** What one publish may hold. The first message always fits: alone, if it must be. */
class Batch {
  readonly messages: BufferedMessage[] = []
  readonly #ids = new Set<string>()
  readonly #maxMessages: number
  #bytesLeft: number

  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages
    this.#bytesLeft = maxBytes
  }

  get length(): number {
    return this.messages.length
  }

  /** Results are matched by id: of two messages with one id (to two topics, say) nobody could tell whose result it is. */
  fits({ bytes, message }: BufferedMessage, maxMessages = this.#maxMessages): boolean {
    if (this.messages.length >= maxMessages) return false
    return this.messages.length === 0 || (bytes <= this.#bytesLeft && !this.#ids.has(message.id))
  }

  push(message: BufferedMessage): void {
    this.messages.push(message)
    this.#ids.add(message.message.id)
    this.#bytesLeft -= message.bytes
  }
}

interface Order {
  readonly name: string
  readonly lane: number
  readonly topic: string
  /** Lowest seq first; the head is at `next`. */
  items: BufferedMessage[]
  next: number
  /** A batch with messages of this order is under way. */
  isBusy: boolean
}

/** Messages that may share a batch, and orders whose head is one of them. */
class Line {
  readonly loose = new Fifo<BufferedMessage>()
  readonly ready = new Fifo<Order>()

  get isEmpty(): boolean {
    return this.loose.length === 0 && this.ready.length === 0
  }
}

/** All messages of which nothing special is known. */
const common = 'common'
/** What may have killed a relay. */
const suspects = 'suspects'

/**
 * Decides what may be sent now. Pure.
 *
 * One order (topic and ordering key) is in one batch at a time, in order; a batch may hold many messages of it. Different
 * orders, and messages without a key, never wait for each other.
 *
 * Lines keep apart what must not share a batch: suspects are batched among themselves, no more of them than each one's company
 * allows; topics that hang, and messages of rejected batches, each topic for itself. Every second batch is of another line
 * than the common one while there are any.
 */
export class Schedule {
  readonly #lines = new Map<string, Line>([[common, new Line()]])
  readonly #orders = new Map<string, Order>()
  readonly #isolated = new Set<string>()
  #isCommonsTurn = true
  #length = 0
  /** Outages ended so far: what was accused without proof is forgiven by the end of one. */
  outages = 0

  /** Messages that wait to be taken, sendable or not. */
  get length(): number {
    return this.#length
  }

  add(message: BufferedMessage): void {
    this.#length++
    if (message.order === null) return this.#line(this.#lineOf(message)).loose.push(message)
    let order = this.#orders.get(message.order)
    if (order === undefined) {
      order = this.#open(message, message.order)
      insert(order, message)
      this.#line(this.#lineOf(message)).ready.push(order)
    } else insert(order, message)
  }

  /** Counts the message as taken: its order's only batch until `release`. */
  addTaken(message: BufferedMessage): void {
    if (message.order !== null) this.#open(message, message.order).isBusy = true
  }

  /** Whether anything of the order waits or is under way. */
  has(order: string): boolean {
    return this.#orders.has(order)
  }

  /** The topic's messages share batches with no other topic's. Give it back what `dropTopic` gave, if anything waits. */
  isolate(topic: string): void {
    this.#isolated.add(topic)
  }

  /** From now on the topic's messages share batches with others. */
  mix(topic: string): void {
    this.#isolated.delete(topic)
  }

  isIsolated(topic: string): boolean {
    return this.#isolated.has(topic)
  }

  /**
   * Messages to send now, each order's in order and no id twice. They stay the order's only batch until `release`.
   *
   * @param limit - the most messages
   * @param maxBytes - the most bytes of bodies, unless one message alone has more
   */
  take(limit: number, maxBytes: number = Number.POSITIVE_INFINITY): readonly BufferedMessage[] {
    this.#isCommonsTurn = !this.#isCommonsTurn
    let batch: readonly BufferedMessage[] = []
    // Either may find heads of other lines and pass them on, so the first is asked again at the end.
    for (const isCommon of [this.#isCommonsTurn, !this.#isCommonsTurn, this.#isCommonsTurn]) {
      const taken = new Batch(limit, maxBytes)
      if (isCommon) this.#takeCommon(taken, limit)
      else this.#takeOther(taken)
      batch = taken.messages
      if (batch.length > 0) break
    }
    this.#length -= batch.length
    return batch
  }

  /** The batch's messages are acknowledged, dropped, blocked or added again: what follows in their orders may be taken. */
  release(batch: readonly BufferedMessage[]): void {
    for (const { order: name } of batch) {
      const order = name === null ? undefined : this.#orders.get(name)
      if (order === undefined || !order.isBusy) continue
      order.isBusy = false
      const head = order.items[order.next]
      if (head === undefined) this.#orders.delete(order.name)
      else this.#line(this.#lineOf(head)).ready.push(order)
    }
  }

  /** Removes what waits in the order and gives it back. What is under way stays so. */
  dropOrder(name: string): readonly BufferedMessage[] {
    const order = this.#orders.get(name)
    if (order === undefined) return []
    const dropped = order.items.slice(order.next)
    order.items = []
    order.next = 0
    this.#length -= dropped.length
    return dropped
  }

  /** Removes what waits in the lane and gives it back. What is under way stays so. */
  dropLane(lane: number): readonly BufferedMessage[] {
    return this.#drop(
      (message) => message.lane === lane,
      (order) => order.lane === lane,
    )
  }

  /** Removes what waits of the topic and gives it back. What is under way stays so. */
  dropTopic(topic: string): readonly BufferedMessage[] {
    return this.#drop(
      ({ message }) => message.topic === topic,
      (order) => order.topic === topic,
    )
  }

  #drop(isDropped: (loose: BufferedMessage) => boolean, isOf: (order: Order) => boolean): BufferedMessage[] {
    const dropped = [...this.#lines.values()].flatMap((line) => line.loose.removeWhere(isDropped))
    this.#length -= dropped.length
    for (const order of this.#orders.values()) if (isOf(order)) dropped.push(...this.dropOrder(order.name))
    return dropped
  }

  #open({ lane, message: { topic } }: BufferedMessage, name: string): Order {
    const order = { name, lane, topic, items: [], next: 0, isBusy: false }
    this.#orders.set(name, order)
    return order
  }

  #lineOf(message: BufferedMessage): string {
    if (isSuspect(message)) return suspects
    if (this.#isolated.size === 0 && message.accusation === undefined) return common
    const isApart = this.#limitOf(message) !== Number.POSITIVE_INFINITY || this.#isolated.has(message.message.topic)
    return isApart ? `topic ${message.message.topic}` : common
  }

  /** Most messages in a batch with this one. */
  #limitOf({ company, accusation }: BufferedMessage): number {
    if (accusation === undefined || (!accusation.isProven && accusation.outages < this.outages)) return company
    return Math.min(company, accusation.limit)
  }

  #line(name: string): Line {
    let line = this.#lines.get(name)
    if (line === undefined) {
      line = new Line()
      this.#lines.set(name, line)
    }
    return line
  }

  #takeCommon(batch: Batch, limit: number): void {
    const line = this.#line(common)
    // Half for each kind while both wait, so that neither starves; then whatever fills the batch.
    this.#takeOrdered(line, batch, line.loose.length > 0 ? Math.max(1, limit >> 1) : limit)
    this.#takeLoose(line, batch)
    this.#takeOrdered(line, batch, limit)
  }

  /** The line that was served last comes last. */
  #takeOther(batch: Batch): void {
    const served = [...this.#lines.keys()]
    for (const name of served) {
      const line = this.#line(name)
      if (name === common) continue
      this.#lines.delete(name)
      if (line.isEmpty) continue
      this.#lines.set(name, line)
      this.#takeGroup(name, line, batch)
      if (batch.length > 0) return
    }
  }

  #takeGroup(name: string, line: Line, batch: Batch): void {
    const group = new Group(batch)
    // A message without a key stays in the line it was put in; its limit counts, whatever became of its topic.
    for (let next = line.loose.peek(); next !== undefined && group.takes(next, this.#limitOf(next));) {
      line.loose.shift()
      next = line.loose.peek()
    }
    const takes = (message: BufferedMessage | undefined): boolean =>
      message !== undefined && this.#lineOf(message) === name && group.takes(message, this.#limitOf(message))
    for (let order = line.ready.peek(); order !== undefined; order = line.ready.peek()) {
      let end = order.next
      while (takes(order.items[end])) end++
      const next = order.items[order.next]
      if (end === order.next && next !== undefined && this.#lineOf(next) === name) break // The group is full.
      line.ready.shift()
      if (next === undefined) this.#orders.delete(order.name)
      else if (end === order.next) this.#line(this.#lineOf(next)).ready.push(order)
      else {
        order.isBusy = true
        advance(order, end)
      }
    }
  }

  #takeLoose(line: Line, batch: Batch): void {
    for (let next = line.loose.peek(); next !== undefined && batch.fits(next); next = line.loose.peek()) {
      batch.push(next)
      line.loose.shift()
    }
  }

  #takeOrdered(line: Line, batch: Batch, limit: number): void {
    for (let order = line.ready.peek(); order !== undefined; order = line.ready.peek()) {
      const head = order.items[order.next]
      const isCommon = head !== undefined && this.#lineOf(head) === common
      if (isCommon && !batch.fits(head, limit)) return
      line.ready.shift()
      if (head === undefined) this.#orders.delete(order.name) // Dropped while it waited for its turn.
      else if (!isCommon) this.#line(this.#lineOf(head)).ready.push(order)
      else {
        let end = order.next
        for (let next = order.items[end]; next !== undefined; next = order.items[++end]) {
          if (this.#lineOf(next) !== common || !batch.fits(next, limit)) break
          batch.push(next)
        }
        order.isBusy = true
        advance(order, end)
      }
    }
  }
}

/** Messages that are published together although some allow only few beside them. */
class Group {
  readonly #batch: Batch
  #limit = Number.POSITIVE_INFINITY

  constructor(batch: Batch) {
    this.#batch = batch
  }

  /** Takes the message in, unless the group would become larger than it or one of its members allows. */
  takes(message: BufferedMessage, allowed: number): boolean {
    const limit = Math.min(this.#limit, allowed)
    if (this.#batch.length >= limit || !this.#batch.fits(message)) return false
    this.#limit = limit
    this.#batch.push(message)
    return true
  }
}

function advance(order: Order, next: number): void {
  order.next = next
  if (next === order.items.length) {
    order.items = []
    order.next = 0
  } else if (next > 1024) {
    order.items = order.items.slice(next)
    order.next = 0
  }
}

/** Nearly always at the end; a late committer of an unserialised key, or a replayed message, belongs further ahead. */
function insert(order: Order, message: BufferedMessage): void {
  let at = order.items.length
  while (at > order.next && (order.items[at - 1] as BufferedMessage).seq > message.seq) at--
  if (at === order.items.length) order.items.push(message)
  else order.items.splice(at, 0, message)
}
