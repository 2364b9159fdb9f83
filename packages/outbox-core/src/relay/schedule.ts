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

  /** At most `limit` messages to send now, each order's in order. They stay the order's only batch until `release`. */
  take(limit: number): readonly BufferedMessage[] {
    this.#isSuspectsTurn = !this.#isSuspectsTurn
    let batch: readonly BufferedMessage[] = []
    // Either may find heads of the other kind and pass them on, so the first is asked again at the end.
    for (const isSuspects of [this.#isSuspectsTurn, !this.#isSuspectsTurn, this.#isSuspectsTurn]) {
      batch = isSuspects ? this.#takeSuspects(limit) : this.#takeOthers(limit)
      if (batch.length > 0) break
    }
    this.#length -= batch.length
    return batch
  }

  #takeOthers(limit: number): BufferedMessage[] {
    const batch: BufferedMessage[] = []
    // Half for each kind while both wait, so that neither starves; then whatever fills the batch.
    this.#takeOrdered(batch, this.#loose.length > 0 ? Math.max(1, limit >> 1) : limit)
    this.#takeLoose(batch, limit)
    this.#takeOrdered(batch, limit)
    return batch
  }

  #takeSuspects(limit: number): BufferedMessage[] {
    const group = new Group(limit)
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
    return group.messages
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

  #takeLoose(batch: BufferedMessage[], limit: number): void {
    while (batch.length < limit) {
      const message = this.#loose.shift()
      if (message === undefined) return
      batch.push(message)
    }
  }

  #takeOrdered(batch: BufferedMessage[], limit: number): void {
    while (batch.length < limit) {
      const order = this.#ready.shift()
      if (order === undefined) return
      let end = Math.min(order.items.length, order.next + limit - batch.length)
      if (order.next === end) {
        this.#orders.delete(order.name) // Dropped while it waited for its turn.
        continue
      }
      end = untilSuspect(order, end)
      if (end === order.next) {
        this.#readySuspects.push(order)
        continue
      }
      for (let at = order.next; at < end; at++) batch.push(order.items[at] as BufferedMessage)
      order.isBusy = true
      advance(order, end)
    }
  }
}

/** Suspects that are published together. */
class Group {
  readonly messages: BufferedMessage[] = []
  #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Takes the next in line in, unless it is no suspect or the group would become larger than one of its members allows. */
  takes(message: BufferedMessage | undefined): boolean {
    if (message === undefined || !isSuspect(message)) return false
    if (this.messages.length >= Math.min(this.#limit, message.company)) return false
    this.#limit = Math.min(this.#limit, message.company)
    this.messages.push(message)
    return true
  }
}

/** The first suspect of the order before `end`, or `end`. */
function untilSuspect(order: Order, end: number): number {
  for (let at = order.next; at < end; at++) if (isSuspect(order.items[at] as BufferedMessage)) return at
  return end
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
