import type { OutboxMessage } from '../../src/message.ts'
import type { PublishFailure, PublishResult } from '../../src/publisher.ts'

/** A message in the model's table. */
export interface Row {
  readonly seq: number
  /** When its transaction committed, in adds and commits so far: whatever draws its seq after that is serialised behind it. */
  readonly committedAt: number
  readonly drawnAt: number
  readonly lane: number
  readonly stream: string | null
  readonly topic: string
  /** Most messages that may be in flight with it; Infinity for one under no suspicion. */
  readonly maxTogether: number
  /** Failed: due again at this instant. */
  dueMs: number | null
  attempts: number
  /** It came back from the dead letters and the relay may not have heard of it yet. */
  isUnnoticed: boolean
}

/** What the broker is allowed to know of the table. */
export interface KnownToBroker {
  rowOf(message: OutboxMessage): Row
  /** What must be accepted before the row may be sent, and is not. */
  overtakenBy(row: Row): readonly Row[]
  routeOf(topic: string): string
  /** The relay knows that an operator stopped its topic or its key. */
  isStopped(row: Row): boolean
}

interface Call {
  readonly rows: readonly Row[]
  readonly batch: readonly OutboxMessage[]
  readonly settle: (results: readonly PublishResult[] | Error) => void
}

const failure = (code: string): PublishFailure => ({ kind: 'retryable', code, message: code })
const permanent: PublishFailure = { kind: 'permanent', code: 'NEVER', message: 'never' }

/** A broker that accepts, rejects, answers halfway or hangs, whose destinations come and go, and that notes whatever must not happen. */
export class ModelBroker {
  /** Messages sent before an earlier one of their stream. */
  readonly inversions: string[] = []
  /** Topics whose destination takes nothing. */
  readonly unavailable: Set<string> = new Set()
  /** Batches that held a stream of which another batch was in flight. */
  readonly overlaps: string[] = []
  /** Suspects that were published beside something else, or in too large a maxTogether. */
  readonly notAlone: string[] = []
  /** Messages of topics or keys that the relay knew an operator had stopped. */
  readonly stopped: number[] = []
  /** Batches of several routes. */
  readonly mixed: string[] = []
  readonly accepted: Set<number> = new Set()
  readonly #random: () => number
  readonly #table: KnownToBroker
  readonly #calls = new Set<Call>()

  constructor(random: () => number, table: KnownToBroker) {
    this.#random = random
    this.#table = table
  }

  publish(batch: readonly OutboxMessage[], signal: AbortSignal): Promise<readonly PublishResult[]> {
    const rows = batch.map((message) => this.#table.rowOf(message))
    this.#check(rows)
    return new Promise((resolve, reject) => {
      const call: Call = {
        rows,
        batch,
        settle: (results) => {
          this.#calls.delete(call)
          if (results instanceof Error) reject(results)
          else resolve(results)
        },
      }
      this.#calls.add(call)
      signal.addEventListener('abort', () => call.settle(this.#prefix(call, failure('ABORTED'))))
    })
  }

  /** Answers one of the calls in flight. */
  answer(isWell: boolean): void {
    const call = [...this.#calls][Math.floor(this.#random() * this.#calls.size)]
    if (call === undefined) return
    const dice = isWell ? 0 : this.#random()
    if (dice < 0.5 || isWell) call.settle(this.#prefix(call, failure('REFUSED'), 1))
    else if (dice < 0.7) call.settle(new Error('out of reach'))
    else if (dice < 0.85) call.settle(this.#prefix(call, failure('CONNECTION_LOST')))
    else if (dice < 0.9) call.settle(this.#prefix(call, failure('REFUSED')))
    else call.settle(this.#prefix(call, permanent))
  }

  #check(rows: readonly Row[]): void {
    const inFlight = [...this.#calls].flatMap((call) => call.rows)
    rows.forEach((row, at) => {
      const before = rows.slice(0, at)
      for (const { seq } of this.#table.overtakenBy(row).filter((other) => !before.includes(other)))
        this.inversions.push(`${String(row.stream)}: ${String(row.seq)} before ${String(seq)}`)
    })
    const used = new Set(rows.map(({ topic }) => this.#table.routeOf(topic)))
    if (used.size > 1) this.mixed.push([...used].join(' '))
    for (const row of rows) if (this.#table.isStopped(row)) this.stopped.push(row.seq)
    for (const { stream } of rows)
      if (stream !== null && inFlight.some((row) => row.stream === stream)) this.overlaps.push(stream)
    const allowed = Math.min(...[...rows, ...inFlight].map(({ maxTogether }) => maxTogether))
    const isAlone = inFlight.length === 0 && rows.length <= allowed
    if (allowed !== Number.POSITIVE_INFINITY && !isAlone) this.notAlone.push(rows.map(({ seq }) => seq).join(' '))
  }

  /** Of each stream some are accepted, and from then on none; nothing of an unavailable topic is. */
  #prefix({ rows }: Call, reason: PublishFailure, share = 0.5): PublishResult[] {
    const broken = new Set<string>()
    return rows.map((row): PublishResult => {
      const isBehind = row.stream !== null && broken.has(row.stream)
      const isAway = this.unavailable.has(row.topic)
      if (!isBehind && !isAway && this.#random() < share) return this.#accept(row)
      if (row.stream !== null) broken.add(row.stream)
      return {
        id: String(row.seq),
        status: 'failed',
        failure: isBehind ? failure('PREDECESSOR_FAILED') : isAway ? away(row) : reason,
      }
    })
  }

  #accept({ seq }: Row): PublishResult {
    this.accepted.add(seq)
    return { id: String(seq), status: 'accepted' }
  }
}

const away = ({ topic }: Row): PublishFailure => ({
  kind: 'unavailable',
  destination: `destination of ${topic}`,
  code: 'AWAY',
  message: 'away',
})
