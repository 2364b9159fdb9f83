import type { BufferedMessage } from './buffer.ts'
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
  /** Lowest seq first; the head is at `next`. */
  items: BufferedMessage[]
  next: number
  /** A batch with messages of this order is under way. */
  isBusy: boolean
}

/**
 * Decides what may be sent now. Pure.
 *
 * One order (topic and ordering key) is in one batch at a time, in order; a batch may hold many messages of it. Different
 * orders, and messages without a key, never wait for each other. Suspects are batched among themselves, no more of them
 * than each one's company allows; every second batch is one of theirs while there are any.
 */
export class Schedule {
  readonly #loose = new Fifo<BufferedMessage>()
  readonly #looseSuspects = new Fifo<BufferedMessage>()
  readonly #orders = new Map<string, Order>()
  readonly #ready = new Fifo<Order>()
  /** Ready, and their head is a suspect. */
  readonly #readySuspects = new Fifo<Order>()
  #isSuspectsTurn = false
  #length = 0

  /** Messages that wait to be taken, sendable or not. */
  get length(): number {
    return this.#length
  }

  add(message: BufferedMessage): void {
    this.#length++
    if (message.order === null) return (isSuspect(message) ? this.#looseSuspects : this.#loose).push(message)
    let order = this.#orders.get(message.order)
    if (order === undefined) {
      order = { name: message.order, lane: message.lane, items: [], next: 0, isBusy: false }
      this.#orders.set(message.order, order)
      this.#ready.push(order)
    }
    insert(order, message)
  }

  /**
   * Messages to send now, each order's in order and no id twice. They stay the order's only batch until `release`.
   *
   * @param limit - the most messages
   * @param maxBytes - the most bytes of bodies, unless one message alone has more
   */
  take(limit: number, maxBytes: number = Number.POSITIVE_INFINITY): readonly BufferedMessage[] {
    this.#isSuspectsTurn = !this.#isSuspectsTurn
    let batch: readonly BufferedMessage[] = []
    // Either may find heads of the other kind and pass them on, so the first is asked again at the end.
    for (const isSuspects of [this.#isSuspectsTurn, !this.#isSuspectsTurn, this.#isSuspectsTurn]) {
      const taken = new Batch(limit, maxBytes)
      if (isSuspects) this.#takeSuspects(taken)
      else this.#takeOthers(taken, limit)
      batch = taken.messages
      if (batch.length > 0) break
    }
    this.#length -= batch.length
    return batch
  }

  #takeOthers(batch: Batch, limit: number): void {
    // Half for each kind while both wait, so that neither starves; then whatever fills the batch.
    this.#takeOrdered(batch, this.#loose.length > 0 ? Math.max(1, limit >> 1) : limit)
    this.#takeLoose(batch)
    this.#takeOrdered(batch, limit)
  }

  #takeSuspects(batch: Batch): void {
    const group = new Group(batch)
    while (group.takes(this.#looseSuspects.peek())) this.#looseSuspects.shift()
    for (let order = this.#readySuspects.peek(); order !== undefined; order = this.#readySuspects.peek()) {
      let end = order.next
      while (group.takes(order.items[end])) end++
      const next = order.items[order.next]
      if (end === order.next && next !== undefined && isSuspect(next)) break // The group is full.
      this.#readySuspects.shift()
      if (next === undefined) this.#orders.delete(order.name)
      else if (end === order.next) this.#ready.push(order)
      else {
        order.isBusy = true
        advance(order, end)
      }
    }
  }

  /** The batch's messages are acknowledged, dropped or blocked: what follows in their orders may be taken. */
  release(batch: readonly BufferedMessage[]): void {
    for (const { order: name } of batch) {
      const order = name === null ? undefined : this.#orders.get(name)
      if (order === undefined || !order.isBusy) continue
      order.isBusy = false
      if (order.next < order.items.length) this.#ready.push(order)
      else this.#orders.delete(order.name)
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
    const isOfLane = (message: BufferedMessage): boolean => message.lane === lane
    const dropped = [...this.#loose.removeWhere(isOfLane), ...this.#looseSuspects.removeWhere(isOfLane)]
    this.#length -= dropped.length
    for (const order of this.#orders.values()) {
      if (order.lane === lane) dropped.push(...this.dropOrder(order.name))
    }
    return dropped
  }

  #takeLoose(batch: Batch): void {
    for (let next = this.#loose.peek(); next !== undefined && batch.fits(next); next = this.#loose.peek()) {
      batch.push(next)
      this.#loose.shift()
    }
  }

  #takeOrdered(batch: Batch, limit: number): void {
    for (let order = this.#ready.peek(); order !== undefined; order = this.#ready.peek()) {
      const head = order.items[order.next]
      if (head !== undefined && !isSuspect(head) && !batch.fits(head, limit)) return
      this.#ready.shift()
      if (head === undefined) this.#orders.delete(order.name) // Dropped while it waited for its turn.
      else if (isSuspect(head)) this.#readySuspects.push(order)
      else {
        let end = order.next
        for (let next = order.items[end]; next !== undefined; next = order.items[++end]) {
          if (isSuspect(next) || !batch.fits(next, limit)) break
          batch.push(next)
        }
        order.isBusy = true
        advance(order, end)
      }
    }
  }
}

/** Suspects that are published together. */
class Group {
  readonly #batch: Batch
  #limit = Number.POSITIVE_INFINITY

  constructor(batch: Batch) {
    this.#batch = batch
  }

  /** Takes the next in line in, unless it is no suspect or the group would become larger than one of its members allows. */
  takes(message: BufferedMessage | undefined): boolean {
    if (message === undefined || !isSuspect(message)) return false
    const limit = Math.min(this.#limit, message.company)
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
