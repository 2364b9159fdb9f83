import { Batch, Group } from './batch.ts'
import type { BufferedMessage } from './buffered-message.ts'
import { Fifo } from './fifo.ts'
import { isSuspect } from './suspicion.ts'

interface Stream {
  readonly name: string
  readonly lane: number
  readonly topic: string
  /** Lowest seq first; the head is at `next`. */
  items: BufferedMessage[]
  next: number
  /** A batch with messages of this stream is under way. */
  isBusy: boolean
}

/** Messages that may share a batch, and streams whose head is one of them. */
class Line {
  readonly loose = new Fifo<BufferedMessage>()
  readonly ready = new Fifo<Stream>()
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
 * Invariant: a stream (topic and ordering key) is in one batch at a time, in sequence; a batch may hold many messages of it. Different
 * streams, and messages without a key, never wait for each other.
 *
 * Lines keep apart what must not share a batch: each route has its own; suspects are batched among themselves, no more of them
 * than each one allows to be together; topics that hang, and messages of rejected batches, each topic for itself. Every second batch
 * is of another line than a common one while there are any.
 */
export class Schedule {
  readonly #routeOf: (topic: string) => string
  /** For each route the line of all messages of which nothing special is known. */
  readonly #commons = new Map<string, Line>()
  readonly #others = new Map<string, Line>()
  readonly #streams = new Map<string, Stream>()
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
    if (message.stream === null) return this.#lineOf(message).loose.push(message)
    let stream = this.#streams.get(message.stream)
    if (stream === undefined) {
      stream = this.#open(message, message.stream)
      insert(stream, message)
      this.#lineOf(message).ready.push(stream)
    } else insert(stream, message)
  }

  /** Counts the message as taken: its stream's only batch until `release`. */
  addTaken(message: BufferedMessage): void {
    if (message.stream !== null) this.#open(message, message.stream).isBusy = true
  }

  /** Whether anything of the stream waits or is under way. */
  has(stream: string): boolean {
    return this.#streams.has(stream)
  }

  /** All of which anything waits or is under way. */
  streams(): readonly { readonly name: string; readonly lane: number }[] {
    return [...this.#streams.values()]
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
   * Messages to send now, each stream's in order and no id twice. They stay the stream's only batch until `release`.
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

  /** The batch's messages are acknowledged, dropped, blocked or added again: what follows in their streams may be taken. */
  release(batch: readonly BufferedMessage[]): void {
    for (const { stream: name } of batch) {
      const stream = name === null ? undefined : this.#streams.get(name)
      if (stream === undefined || !stream.isBusy) continue
      stream.isBusy = false
      const head = stream.items[stream.next]
      if (head === undefined) this.#streams.delete(stream.name)
      else this.#lineOf(head).ready.push(stream)
    }
  }

  /** Removes what waits in the stream and gives it back. What is under way stays so. */
  dropStream(name: string): readonly BufferedMessage[] {
    const stream = this.#streams.get(name)
    if (stream === undefined) return []
    const dropped = stream.items.slice(stream.next)
    stream.items = []
    stream.next = 0
    if (!stream.isBusy) this.#streams.delete(name) // Its turn in a line is skipped.
    this.#length -= dropped.length
    return dropped
  }

  /** Removes what waits in the lane and gives it back. What is under way stays so. */
  dropLane(lane: number): readonly BufferedMessage[] {
    const isOf = (one: { readonly lane: number }): boolean => one.lane === lane
    return this.#drop(isOf, isOf)
  }

  /** Removes what waits of the topic and gives it back. What is under way stays so. */
  dropTopic(topic: string): readonly BufferedMessage[] {
    return this.#drop(
      ({ message }) => message.topic === topic,
      (stream) => stream.topic === topic,
    )
  }

  #drop(isDropped: (loose: BufferedMessage) => boolean, isOf: (stream: Stream) => boolean): BufferedMessage[] {
    const lines = [...this.#commons.values(), ...this.#others.values()]
    const dropped = lines.flatMap(({ loose }) => loose.removeWhere(isDropped))
    this.#length -= dropped.length
    for (const stream of this.#streams.values()) if (isOf(stream)) dropped.push(...this.dropStream(stream.name))
    return dropped
  }

  #open({ lane, message: { topic } }: BufferedMessage, name: string): Stream {
    const stream = { name, lane, topic, items: [], next: 0, isBusy: false }
    this.#streams.set(name, stream)
    return stream
  }

  #lineOf(message: BufferedMessage): Line {
    const { topic } = message.message
    const route = this.#routeOf(topic)
    if (isSuspect(message)) return lineIn(this.#others, `suspects ${route}`, route, false)
    const isApart = this.#isolated.has(topic) || this.limitOf(message) !== Number.POSITIVE_INFINITY
    return isApart ? lineIn(this.#others, `topic ${topic}`, route, false) : lineIn(this.#commons, route, route, true)
  }

  /** Most messages in a batch with this one. */
  limitOf({ maxTogether, accusation }: BufferedMessage): number {
    if (accusation === undefined || (!accusation.isProven && accusation.outages < this.outages)) return maxTogether
    return Math.min(maxTogether, accusation.limit)
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
    for (let stream = line.ready.peek(); stream !== undefined; stream = line.ready.peek()) {
      let end = stream.next
      while (takes(stream.items[end])) end++
      const next = stream.items[stream.next]
      if (end === stream.next && next !== undefined && this.#lineOf(next) === line) break // The group is full.
      line.ready.shift()
      if (next === undefined) continue // Dropped while it waited for its turn.
      if (end === stream.next) this.#lineOf(next).ready.push(stream)
      else {
        stream.isBusy = true
        advance(stream, end)
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
    for (let stream = line.ready.peek(); stream !== undefined; stream = line.ready.peek()) {
      const head = stream.items[stream.next]
      const isCommon = head !== undefined && this.#lineOf(head) === line
      if (isCommon && !batch.fits(head, limit)) return
      line.ready.shift()
      if (head === undefined) continue // Dropped while it waited for its turn.
      if (!isCommon) this.#lineOf(head).ready.push(stream)
      else {
        let end = stream.next
        for (let next = stream.items[end]; next !== undefined; next = stream.items[++end]) {
          if (this.#lineOf(next) !== line || !batch.fits(next, limit)) break
          batch.push(next)
        }
        stream.isBusy = true
        advance(stream, end)
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

function advance(stream: Stream, next: number): void {
  stream.next = next
  if (next === stream.items.length) {
    stream.items = []
    stream.next = 0
  } else if (next > 1024) {
    stream.items = stream.items.slice(next)
    stream.next = 0
  }
}

/** Nearly always at the end; a late committer of an unserialised key, or a replayed message, belongs further ahead. */
function insert(stream: Stream, message: BufferedMessage): void {
  let at = stream.items.length
  while (at > stream.next && (stream.items[at - 1] as BufferedMessage).seq > message.seq) at--
  if (at === stream.items.length) stream.items.push(message)
  else stream.items.splice(at, 0, message)
}
