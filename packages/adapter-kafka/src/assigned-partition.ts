import type { ConsumerEvent, MessageId } from '@malote/outbox-core'
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
  /** Handlers that run. Each has a signal of its own, which stays quiet once it has ended. */
  readonly running: Set<RunningHandler>
}

export interface RunningHandler {
  readonly id: MessageId
  readonly telling: AbortController
}

export interface PartitionOptions {
  /** Handles the record to its end. False: not finished, and nothing after it in its key may begin. */
  readonly handle: (record: FetchedRecord, context: RecordContext) => Promise<boolean>
  /** `finished` or `open` may have changed. */
  readonly onProgress: () => void
  readonly report: (event: ConsumerEvent) => void
  /** Everything one after the other, whatever the key. */
  readonly sequential: boolean
  /** What must have ended before anything begins: handlers of a time when the partition was ours before. */
  readonly after: Promise<unknown>
}

export function createAssignedPartition(place: TopicPartition, options: PartitionOptions): AssignedPartition {
  const progress = createProgress()
  const chains = new Map<string, FetchedRecord[]>()
  const ends = new Set<Promise<void>>()
  const losing = new AbortController()
  const draining = new AbortController()
  const context: RecordContext = {
    ...place,
    lost: losing.signal,
    ending: draining.signal,
    running: new Set(),
  }
  let mayRepeat = false

  function enqueue(record: FetchedRecord): void {
    const key = options.sequential ? '' : (record.key?.toString('latin1') ?? `\0${record.offset}`)
    const chain = chains.get(key)
    if (chain !== undefined) return void chain.push(record)
    const started = [record]
    chains.set(key, started)
    const end = run(key, started).finally(() => ends.delete(end))
    ends.add(end)
  }

  async function run(key: string, chain: FetchedRecord[]): Promise<void> {
    await options.after
    for (let record = chain[0]; record !== undefined; record = chain[0]) {
      if (context.ending.aborted || !(await options.handle(record, context))) return
      chain.shift()
      progress.finish(BigInt(record.offset))
      options.onProgress()
    }
    chains.delete(key)
  }

  async function drain(): Promise<void> {
    draining.abort()
    await Promise.all(ends)
  }

  return {
    topic: place.topic,
    partition: place.partition,
    get finished() {
      return progress.finished
    },
    get open() {
      return progress.open
    },
    take: (records) => {
      if (context.ending.aborted) return
      for (const record of records) {
        const offset = BigInt(record.offset)
        if (progress.next !== null && offset < progress.next) continue
        mayRepeat = false
        progress.take(offset)
        enqueue(record)
      }
    },
    rejoined: () => {
      mayRepeat = true
    },
    continues: (firstOffset) =>
      mayRepeat || progress.open > 0 || progress.next === null || BigInt(firstOffset) >= progress.next,
    drain,
    lose: (error) => {
      for (const { id, telling } of context.running) {
        options.report({ type: 'message.hold-lost', id, error })
        telling.abort(error)
      }
      losing.abort(error)
      return drain()
    },
  }
}
