import { Batch, Group } from './batch.ts'
import type { BufferedMessage } from './buffered-message.ts'
import { Fifo } from './fifo.ts'
import { isSuspect } from './suspicion.ts'

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
  readonly route: string
  readonly isCommon: boolean

  constructor(route: string, isCommon: boolean) {
    this.route = route
    this.isCommon = isCommon
  }

  get isEmpty(): boolean {
    return this.loose.length === 0 && this.ready.length === 0
  }
}

/**
 * Decides what may be sent now. Pure.
 *
 * One order (topic and ordering key) is in one batch at a time, in order; a batch may hold many messages of it. Different
 * orders, and messages without a key, never wait for each other.
 *
 * Lines keep apart what must not share a batch: each route has its own; suspects are batched among themselves, no more of them
 * than each one's company allows; topics that hang, and messages of rejected batches, each topic for itself. Every second batch
 * is of another line than a common one while there are any.
 */
export class Schedule {
  readonly #routeOf: (topic: string) => string
  /** For each route the line of all messages of which nothing special is known. */
  readonly #commons = new Map<string, Line>()
  readonly #others = new Map<string, Line>()
  readonly #orders = new Map<string, Order>()
  readonly #isolated = new Set<string>()
  #isCommonsTurn = false
  #length = 0
  /** Outages ended so far: what was accused without proof is forgiven by the end of one. */
  outages = 0

  /** @param routeOf - topics of different routes never share a batch */
  constructor(routeOf: (topic: string) => string = () => '') {
    this.#routeOf = routeOf
  }

  /** Messages that wait to be taken, sendable or not. */
  get length(): number {
    return this.#length
  }

  add(message: BufferedMessage): void {
    this.#length++
    if (message.order === null) return this.#lineOf(message).loose.push(message)
    let order = this.#orders.get(message.order)
    if (order === undefined) {
      order = this.#open(message, message.order)
      insert(order, message)
      this.#lineOf(message).ready.push(order)
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
   * @param isFull - routes that take nothing more now
   */
  take(
    limit: number,
    maxBytes: number = Number.POSITIVE_INFINITY,
    isFull: (route: string) => boolean = () => false,
  ): readonly BufferedMessage[] {
    const isCommonsTurn = this.#isCommonsTurn
    let batch: readonly BufferedMessage[] = []
    // Either may find heads of other lines and pass them on, so the first is asked again at the end.
    for (const isCommon of [isCommonsTurn, !isCommonsTurn, isCommonsTurn]) {
      const taken = new Batch(limit, maxBytes)
      this.#takeOfNext(isCommon ? this.#commons : this.#others, taken, limit, isFull)
      batch = taken.messages
      if (batch.length === 0) continue
      this.#isCommonsTurn = !isCommon
      break
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
      else this.#lineOf(head).ready.push(order)
    }
  }

  /** Removes what waits in the order and gives it back. What is under way stays so. */
  dropOrder(name: string): readonly BufferedMessage[] {
    const order = this.#orders.get(name)
    if (order === undefined) return []
    const dropped = order.items.slice(order.next)
    order.items = []
    order.next = 0
    if (!order.isBusy) this.#orders.delete(name) // Its turn in a line is skipped.
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
    const lines = [...this.#commons.values(), ...this.#others.values()]
    const dropped = lines.flatMap(({ loose }) => loose.removeWhere(isDropped))
    this.#length -= dropped.length
    for (const order of this.#orders.values()) if (isOf(order)) dropped.push(...this.dropOrder(order.name))
    return dropped
  }

  #open({ lane, message: { topic } }: BufferedMessage, name: string): Order {
    const order = { name, lane, topic, items: [], next: 0, isBusy: false }
    this.#orders.set(name, order)
    return order
  }

  #lineOf(message: BufferedMessage): Line {
    const { topic } = message.message
    const route = this.#routeOf(topic)
    if (isSuspect(message)) return lineIn(this.#others, `suspects ${route}`, route, false)
    const isApart = this.#isolated.has(topic) || this.limitOf(message) !== Number.POSITIVE_INFINITY
    return isApart ? lineIn(this.#others, `topic ${topic}`, route, false) : lineIn(this.#commons, route, route, true)
  }

  /** Most messages in a batch with this one. */
  limitOf({ company, accusation }: BufferedMessage): number {
    if (accusation === undefined || (!accusation.isProven && accusation.outages < this.outages)) return company
    return Math.min(company, accusation.limit)
  }

  /** The line that was served last comes last. */
  #takeOfNext(lines: Map<string, Line>, batch: Batch, limit: number, isFull: (route: string) => boolean): void {
    const inTurn = [...lines] // Lines change places meanwhile.
    for (const [name, line] of inTurn) {
      if (!line.isEmpty && isFull(line.route)) continue
      if (line.isEmpty && line.isCommon) continue
      lines.delete(name)
      if (line.isEmpty) continue
      lines.set(name, line)
      if (line.isCommon) this.#takeCommon(line, batch, limit)
      else this.#takeGroup(line, batch)
      if (batch.length > 0) return
    }
  }

  #takeCommon(line: Line, batch: Batch, limit: number): void {
    // Half for each kind while both wait, so that neither starves; then whatever fills the batch.
    this.#takeOrdered(line, batch, line.loose.length > 0 ? Math.max(1, limit >> 1) : limit)
    this.#takeLoose(line, batch)
    this.#takeOrdered(line, batch, limit)
  }

  #takeGroup(line: Line, batch: Batch): void {
    const group = new Group(batch)
    // A message without a key stays in the line it was put in; its limit counts, whatever became of its topic.
    for (let next = line.loose.peek(); next !== undefined && group.takes(next, this.limitOf(next));) {
      line.loose.shift()
      next = line.loose.peek()
    }
    const takes = (message: BufferedMessage | undefined): boolean =>
      message !== undefined && this.#lineOf(message) === line && group.takes(message, this.limitOf(message))
    for (let order = line.ready.peek(); order !== undefined; order = line.ready.peek()) {
      let end = order.next
      while (takes(order.items[end])) end++
      const next = order.items[order.next]
      if (end === order.next && next !== undefined && this.#lineOf(next) === line) break // The group is full.
      line.ready.shift()
      if (next === undefined) continue // Dropped while it waited for its turn.
      if (end === order.next) this.#lineOf(next).ready.push(order)
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
      const isCommon = head !== undefined && this.#lineOf(head) === line
      if (isCommon && !batch.fits(head, limit)) return
      line.ready.shift()
      if (head === undefined) continue // Dropped while it waited for its turn.
      if (!isCommon) this.#lineOf(head).ready.push(order)
      else {
        let end = order.next
        for (let next = order.items[end]; next !== undefined; next = order.items[++end]) {
          if (this.#lineOf(next) !== line || !batch.fits(next, limit)) break
          batch.push(next)
        }
        order.isBusy = true
        advance(order, end)
      }
    }
  }
}

function lineIn(lines: Map<string, Line>, name: string, route: string, isCommon: boolean): Line {
  let line = lines.get(name)
  if (line === undefined) {
    line = new Line(route, isCommon)
    lines.set(name, line)
  }
  return line
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
