import type { FetchedRecord, TopicPartition } from './client.ts'
import { createProgress } from './progress.ts'

/** A partition while it is ours: what was taken of it, in order per key, and how far it is finished. */
export interface AssignedPartition extends TopicPartition {
  /** Records fetched. Those that were taken before, as after a rebalance, are not taken again. */
  take(records: readonly FetchedRecord[]): void
  /** The group met again and the partition stayed ours: fetching starts over at the committed offset. */
  rejoined(): void
  /**
   * False when the fetched offset lies before what was taken although the group did not meet again and nothing is open: the log
   * was made anew, and its offsets are other records.
   */
  continues(firstOffset: string): boolean
  /** One after the last of the finished without a gap. */
  readonly finished: bigint | null
  /** Records taken and not yet behind `finished`. */
  readonly open: number
  /** Begins nothing more. Resolves when what runs has ended. */
  drain(): Promise<void>
  /** As `drain`, and tells what runs to stop: it is not ours any more. */
  lose(error: Error): Promise<void>
}

/** What a record is handled with. */
export interface RecordContext extends TopicPartition {
  /** Aborts when the partition is lost. */
  readonly lost: AbortSignal
  /** Aborts when nothing more may begin: on loss and on stop. */
  readonly ending: AbortSignal
  /** Whether whoever had the partition before may have begun the record: it is one of the first after the committed offset. */
  readonly isRedelivered: boolean
  /** The records that wait behind this one for its key and may begin, in order. */
  behind(): Iterable<{ readonly record: FetchedRecord; readonly context: RecordContext }>
}

export interface PartitionOptions {
  /** Handles the record to its end. False: not finished, and nothing after it in its key may begin. */
  readonly handle: (record: FetchedRecord, context: RecordContext) => Promise<boolean>
  /** `finished` or `open` may have changed. */
  readonly onProgress: () => void
  /** Everything one after the other, whatever the key. */
  readonly sequential: boolean
  /** No record begins while this many before it are open: so far, and no further, may records be finished and not committed. */
  readonly maxAhead: number
  /** What must have ended before anything begins: handlers of a time when the partition was ours before. */
  readonly after: Promise<unknown>
}

export function createAssignedPartition(place: TopicPartition, options: PartitionOptions): AssignedPartition {
  return new Holding(place, options)
}

class Holding implements AssignedPartition {
  readonly topic: string
  readonly partition: number
  readonly #options: PartitionOptions
  readonly #context: Omit<RecordContext, 'isRedelivered' | 'behind'>
  readonly #numbers = new Map<FetchedRecord, number>()
  #taken = 0
  #moved = Promise.withResolvers<void>()
  readonly #progress = createProgress()
  readonly #chains = new Map<string, FetchedRecord[]>()
  readonly #ends = new Set<Promise<void>>()
  readonly #losing = new AbortController()
  readonly #draining = new AbortController()
  #mayRepeat = false

  constructor({ topic, partition }: TopicPartition, options: PartitionOptions) {
    this.topic = topic
    this.partition = partition
    this.#options = options
    this.#context = {
      topic,
      partition,
      lost: this.#losing.signal,
      ending: this.#draining.signal,
    }
  }

  get finished(): bigint | null {
    return this.#progress.finished
  }

  get open(): number {
    return this.#progress.open
  }

  take(records: readonly FetchedRecord[]): void {
    if (this.#context.ending.aborted) return
    for (const record of records) {
      const offset = BigInt(record.offset)
      if (this.#progress.next !== null && offset < this.#progress.next) continue
      this.#mayRepeat = false
      this.#progress.take(offset)
      this.#numbers.set(record, this.#taken++)
      this.#enqueue(record)
    }
  }

  rejoined(): void {
    this.#mayRepeat = true
  }

  continues(firstOffset: string): boolean {
    const { open, next } = this.#progress
    return this.#mayRepeat || open > 0 || next === null || BigInt(firstOffset) >= next
  }

  async drain(): Promise<void> {
    this.#draining.abort()
    this.#wakeWaiting()
    await Promise.all(this.#ends)
  }

  lose(error: Error): Promise<void> {
    this.#losing.abort(error)
    return this.drain()
  }

  #enqueue(record: FetchedRecord): void {
    const key = this.#options.sequential ? '' : (record.key?.toString('latin1') ?? `\0${record.offset}`)
    const chain = this.#chains.get(key)
    if (chain !== undefined) return void chain.push(record)
    const started = [record]
    this.#chains.set(key, started)
    const end = this.#run(key, started).finally(() => this.#ends.delete(end))
    this.#ends.add(end)
  }

  async #run(key: string, chain: FetchedRecord[]): Promise<void> {
    await this.#options.after
    for (let record = chain[0]; record !== undefined; record = chain[0]) {
      while (!this.#context.ending.aborted && !this.#isNear(record)) await this.#moved.promise
      const isOver = this.#context.ending.aborted
      if (isOver || !(await this.#options.handle(record, this.#contextOf(record, chain)))) return
      chain.shift()
      this.#numbers.delete(record)
      this.#progress.finish(BigInt(record.offset))
      this.#wakeWaiting()
      this.#options.onProgress()
    }
    this.#chains.delete(key)
  }

  #contextOf(record: FetchedRecord, chain: readonly FetchedRecord[]): RecordContext {
    const isRedelivered = this.#numberOf(record) < this.#options.maxAhead
    return { ...this.#context, isRedelivered, behind: () => this.#behind(record, chain) }
  }

  *#behind(
    record: FetchedRecord,
    chain: readonly FetchedRecord[],
  ): Iterable<{ readonly record: FetchedRecord; readonly context: RecordContext }> {
    for (const next of chain.slice(chain.indexOf(record) + 1)) {
      if (!this.#isNear(next)) return
      yield { record: next, context: this.#contextOf(next, chain) }
    }
  }

  /** Whether few enough records before this one are open. */
  #isNear(record: FetchedRecord): boolean {
    return this.#numberOf(record) - (this.#taken - this.#progress.open) < this.#options.maxAhead
  }

  #numberOf(record: FetchedRecord): number {
    return this.#numbers.get(record) ?? 0
  }

  #wakeWaiting(): void {
    this.#moved.resolve()
    this.#moved = Promise.withResolvers<void>()
  }
}
