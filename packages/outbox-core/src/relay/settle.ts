import type { RelayDeadLetterReason } from '../dead-letter-reason.ts'
import { isRefused, sqlStateOf } from '../postgres/queryable.ts'
import type { FencedLane, Settles } from '../postgres/settles.ts'
import { unstorableCode } from '../postgres/unstorable.ts'
import type { PublishFailure } from '../publisher.ts'
import type { BufferedMessage } from './buffered-message.ts'
import type { Lanes } from './lanes.ts'
import type { FailedMessage } from './outcome.ts'

export interface Retry extends FailedMessage {
  readonly delayMs: number
}

export interface Burial extends FailedMessage {
  readonly reason: RelayDeadLetterReason
  readonly isKeyHeld: boolean
}

/** Told of each end that is committed. */
export interface Endings {
  settled(messages: readonly BufferedMessage[], ms: number): void
  retried(retries: readonly Retry[]): void
  buried(burials: readonly Burial[]): void
}

export interface SettlerParts {
  readonly writes: Settles
  readonly lanes: Lanes
  /** Whether messages of the topic are kept in the archive. Undefined: none is. */
  readonly isArchived?: ((topic: string) => boolean) | undefined
  readonly endings: Endings
  /** Another relay owns one of our lanes, or the database did not do what it must. */
  readonly onLost: (reason: 'fenced' | 'connection-lost', cause: unknown) => void
  readonly nowMs: () => number
}

/** Rows in one statement: a delete of this size takes some tens of milliseconds. */
const maxRows = 5_000

/** Tries again after a deadlock or a serialization failure before giving the connection up. */
const maxTries = 5

/** Writes down the end of messages, in bulk: while one statement runs, the next batch gathers. */
export class Settler {
  readonly #parts: SettlerParts
  #published: BufferedMessage[] = []
  #archived: BufferedMessage[] = []
  #retries: Retry[] = []
  #burials: Burial[] = []
  #running: Promise<void> | null = null

  constructor(parts: SettlerParts) {
    this.#parts = parts
  }

  /** Accepted by the broker: deletes them, or moves them to the archive. */
  published(messages: readonly BufferedMessage[]): void {
    const { isArchived } = this.#parts
    for (const message of messages)
      (isArchived?.(message.message.topic) === true ? this.#archived : this.#published).push(message)
    this.#start()
  }

  /** Failed: come again after their delay. */
  retry(retries: readonly Retry[]): void {
    this.#retries.push(...retries)
    this.#start()
  }

  /** Failed for good: move to the dead letters. */
  bury(burials: readonly Burial[]): void {
    this.#burials.push(...burials)
    this.#start()
  }

  /** Resolves when everything given so far is committed, or the session has failed. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running
  }

  #start(): void {
    this.#running ??= this.#run().then(
      () => {
        this.#running = null
      },
      (error: unknown) => {
        this.#running = null
        this.#parts.onLost('connection-lost', error)
      },
    )
  }

  async #run(): Promise<void> {
    for (;;) {
      if (this.#published.length > 0) await this.#delete(this.#published.splice(0, maxRows))
      else if (this.#archived.length > 0) await this.#archive(this.#archived.splice(0, maxRows))
      else if (this.#retries.length > 0) await this.#retry(this.#retries.splice(0, maxRows))
      else if (this.#burials.length > 0) await this.#bury(this.#burials.splice(0, maxRows))
      else return
    }
  }

  #delete(messages: BufferedMessage[]): Promise<void> {
    return this.#remove(messages, () => this.#parts.writes.deletePublished(messages))
  }

  #archive(messages: BufferedMessage[]): Promise<void> {
    return this.#remove(messages, () => this.#parts.writes.archivePublished(messages))
  }

  /** @param write - takes those of them that are still there out of the table, and says how many there were */
  async #remove(messages: BufferedMessage[], write: () => Promise<number>): Promise<void> {
    const { endings, nowMs } = this.#parts
    const startMs = nowMs()
    // A row that somebody else changed while the delete waited for it is another version, which that statement cannot see.
    let deleted = 0
    for (let tries = 1; tries <= maxTries && deleted < messages.length; tries++) {
      const removed = await again(write)
      deleted += removed
      if (removed === 0 && tries > 1) break // What is left was deleted by somebody else.
    }
    endings.settled(messages, nowMs() - startMs)
  }

  /** Writes them together; where the data of one is refused, in halves, until it is alone and gets its own `end`. */
  async #divide<Item>(
    items: Item[],
    write: (items: Item[]) => Promise<void>,
    end: (item: Item) => Promise<void>,
  ): Promise<void> {
    try {
      await write(items)
    } catch (error) {
      const [item] = items
      if (!isRefused(error) || item === undefined) throw error
      if (items.length === 1) return end(item)
      const half = items.length >> 1
      await this.#divide(items.slice(0, half), write, end)
      await this.#divide(items.slice(half), write, end)
    }
  }

  async #retry(retries: Retry[]): Promise<void> {
    await this.#divide(
      retries,
      (some) => this.#writeRetries(some),
      // What cannot be written back cannot be tried again.
      ({ message }) =>
        this.#bury([{ message, failure: unstorable, reason: 'PERMANENT', isKeyHeld: message.stream !== null }]),
    )
  }

  async #bury(burials: Burial[]): Promise<void> {
    await this.#divide(
      burials,
      (some) => this.#writeBurials(some),
      // A key that no index takes cannot be held, and words that no column takes are left out.
      ({ message, reason }) => this.#writeBurials([{ message, failure: unstorable, reason, isKeyHeld: false }]),
    )
  }

  async #writeRetries(retries: Retry[]): Promise<void> {
    const { writes, endings } = this.#parts
    const rows = retries.map(({ message: { lane, seq, message }, failure, delayMs }) => {
      return { lane, seq, message, delayMs, code: failure.code, words: failure.message }
    })
    if (await this.#fenced(retries, (lanes) => writes.scheduleRetries(lanes, rows))) endings.retried(retries)
  }

  async #writeBurials(burials: Burial[]): Promise<void> {
    const { writes, endings } = this.#parts
    const rows = burials.map(({ message: { lane, seq, message }, failure, reason, isKeyHeld }) => {
      return { lane, seq, message, reason, isKeyHeld, code: failure.code, words: failure.message }
    })
    if (await this.#fenced(burials, (lanes) => writes.buryDead(lanes, rows))) endings.buried(burials)
  }

  /** Runs a write that only the lanes' owner may do. @returns false when a lane has another owner: this relay is a zombie */
  async #fenced(
    failed: readonly FailedMessage[],
    write: (lanes: readonly FencedLane[]) => Promise<number>,
  ): Promise<boolean> {
    const { lanes, onLost } = this.#parts
    const fenced = lanes.fenced(new Set(failed.map(({ message }) => message.lane)))
    if ((await again(() => write(fenced))) === fenced.length) return true
    onLost('fenced', new Error('another relay owns a lane of ours'))
    return false
  }
}

const unstorable: PublishFailure = {
  kind: 'permanent',
  code: unstorableCode,
  message:
    'it failed, and PostgreSQL refused to store that on its row: it breaks a rule of the table that came after it',
}

async function again<Result>(statement: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await statement()
    } catch (error) {
      const state = sqlStateOf(error)
      if ((state !== '40001' && state !== '40P01') || tries >= maxTries) throw error
    }
  }
}
