import type { Barrier } from '../../src/relay/floor.ts'
import type { Row } from './model-broker.ts'
import type { ShownBlock } from './shown-blocks.ts'

export const laneNumbers: readonly number[] = [0, 1, 2]
export const topics: readonly string[] = ['a', 'b', 'c']

/** What a query leaves out: seqs, topics and streams. */
export interface LeftOut {
  readonly known: ReadonlySet<number>
  readonly suspended: ReadonlySet<string>
  /** Of a read of ready messages: blocked streams. Of what waits: closed ones. */
  readonly streams: ReadonlySet<string>
}

/** What a read of waiting messages shows. */
export interface ShownWaiting {
  readonly rows: readonly Row[]
  readonly resting: readonly string[]
  /** There may be more. */
  readonly isFull: boolean
}

/** The table `messages`: writers that commit late, streams that wait, and what the relay's queries show of it. */
export class ModelTable {
  readonly rows: Map<number, Row> = new Map()
  readonly #random: () => number
  readonly #nowMs: () => number
  /** Rows whose transactions are still open. */
  readonly #open: Row[] = []
  #seq = 0
  /** Adds and commits so far. */
  #moment = 0

  constructor(random: () => number, nowMs: () => number) {
    this.#random = random
    this.#nowMs = nowMs
  }

  randomTopic(): string {
    return topics[Math.floor(this.#random() * topics.length)] as string
  }

  add(): void {
    const seq = ++this.#seq
    const lane = this.#randomLane()
    const topic = this.randomTopic()
    const stream = this.#random() < 0.2 ? null : `${topic} k${String(lane)}-${String(Math.floor(this.#random() * 2))}`
    // Suspects are what lay in the lane when it was taken over: in this world, every now and then all of the lowest.
    const maxTogether = seq % 120 < 40 ? 1 + (seq % 3) : Number.POSITIVE_INFINITY
    const drawnAt = ++this.#moment
    const written = { seq, lane, stream, topic, maxTogether, dueMs: null, attempts: 0, isUnnoticed: false, drawnAt }
    const row = { ...written, committedAt: drawnAt }
    if (this.#random() < 0.3) this.#open.push(row)
    else this.rows.set(seq, row)
  }

  /** A whole stream waits and is due, as after an incident: more than one look takes in. @returns false when it is there already */
  addWaiting(): boolean {
    const lane = this.#randomLane()
    const topic = this.randomTopic()
    const stream = `${topic} r${String(lane)}`
    // What is replayed goes before what is new: none of it would be in its place before this.
    if ([...this.rows.values()].some((row) => row.stream === stream)) return false
    const dueMs = this.#nowMs()
    for (let n = 0; n < 10; n++) {
      const [seq, drawnAt] = [++this.#seq, ++this.#moment]
      const written = { seq, lane, stream, topic, maxTogether: Number.POSITIVE_INFINITY, dueMs, attempts: 0 }
      this.rows.set(seq, { ...written, isUnnoticed: true, drawnAt, committedAt: drawnAt })
    }
    return true
  }

  /** Late: what was drawn meanwhile, also of its own stream, may long be published, failed or buried. */
  commit(): void {
    const [row] = this.#open.splice(Math.floor(this.#random() * this.#open.length), 1)
    if (row !== undefined) this.rows.set(row.seq, { ...row, committedAt: ++this.#moment })
  }

  /** What a look at the writers' locks shows. */
  barrier(): Barrier {
    return { drawn: this.#seq, holders: this.#open.map(({ seq }) => String(seq)) }
  }

  /** What of its stream was there before it was drawn, and was not accepted. */
  overtakenBy(row: Row, accepted: ReadonlySet<number>): Row[] {
    if (row.stream === null) return []
    return [...this.rows.values()].filter(
      ({ seq, stream, isUnnoticed, committedAt }) =>
        stream === row.stream && seq < row.seq && committedAt <= row.drawnAt && !isUnnoticed && !accepted.has(seq),
    )
  }

  /** The lowest ready rows of a lane above its floor, up to a limit. */
  ready(lane: number, floor: number, limit: number, { known, suspended, streams }: LeftOut): Row[] {
    return [...this.rows.values()]
      .filter((row) => row.lane === lane && row.seq > floor && row.dueMs === null)
      .sort((a, b) => a.seq - b.seq)
      .filter((row) => !known.has(row.seq) && !suspended.has(row.topic) && !streams.has(row.stream ?? ''))
      .slice(0, limit)
  }

  /** Of the streams that have most reason to go those rows that wait first, up to one that is not due. */
  waiting(isRead: (lane: number) => boolean, limit: number, { known, suspended, streams }: LeftOut): ShownWaiting {
    const isDue = (row: Row): boolean => this.#isDue(row, isRead)
    const due = [...this.rows.values()]
      .filter((row) => isDue(row) && !known.has(row.seq))
      .filter(({ topic, stream }) => !suspended.has(topic) && !streams.has(stream ?? ''))
      .sort((a, b) => (a.dueMs ?? 0) - (b.dueMs ?? 0) || a.seq - b.seq)
      .slice(0, limit)
    const unknown = (row: Row): Row[] => this.#inOrder(row).filter(({ seq }) => !known.has(seq))
    const runs = [...new Set(due.flatMap(({ stream }) => stream ?? []))].flatMap((stream) => {
      const share = due.filter((row) => row.stream === stream)
      const run = unknown(share[0] as Row).slice(0, share.length)
      const end = run.findIndex((row) => !isDue(row))
      return end < 0 ? run : run.slice(0, end)
    })
    const resting = due.flatMap((row) => (isDue(unknown(row)[0] ?? row) ? [] : (row.stream ?? [])))
    const rows = [...due.filter(({ stream }) => stream === null), ...runs]
    return { rows, resting, isFull: due.length === limit }
  }

  /** A few messages of the topics, the first of their streams. @param closed - streams of which nothing that waits is to be read */
  samples(
    wanted: readonly string[],
    isRead: (lane: number) => boolean,
    { known, streams }: Omit<LeftOut, 'suspended'>,
    closed: ReadonlySet<string>,
  ): Row[] {
    const rows = [...this.rows.values()].filter(({ topic, seq }) => wanted.includes(topic) && !known.has(seq))
    const ready = laneNumbers.flatMap((lane) =>
      rows
        .filter((row) => row.lane === lane && row.dueMs === null && !streams.has(row.stream ?? ''))
        .sort((a, b) => a.seq - b.seq)
        .slice(0, 1),
    )
    const due = rows
      .filter(
        (row) => this.#isDue(row, isRead) && !closed.has(row.stream ?? '') && (this.#inOrder(row)[0] ?? row) === row,
      )
      .slice(0, 2)
    return [...ready, ...due].slice(0, 3)
  }

  /** Streams that wait, each with its first message and the first of those that are not known. */
  waitingStreams(known: ReadonlySet<number>): ShownBlock[] {
    const waiting = new Map<string, ShownBlock>()
    for (const { lane, stream, seq, dueMs } of [...this.rows.values()].sort((a, b) => b.seq - a.seq)) {
      if (dueMs === null || stream === null) continue
      const unread = known.has(seq) ? (waiting.get(stream)?.unread ?? null) : seq
      waiting.set(stream, { lane, stream, seq, unread, held: false })
    }
    return [...waiting.values()]
  }

  #randomLane(): number {
    return Math.floor(this.#random() * laneNumbers.length)
  }

  #isDue({ lane, dueMs }: Row, isRead: (lane: number) => boolean): boolean {
    return dueMs !== null && dueMs <= this.#nowMs() && isRead(lane)
  }

  /** What waits of its stream, in sequence. */
  #inOrder({ stream }: Row): Row[] {
    if (stream === null) return []
    return [...this.rows.values()]
      .filter((row) => row.stream === stream && row.dueMs !== null)
      .sort((a, b) => a.seq - b.seq)
  }
}
