import type { RelayEvent } from '../events.ts'
import { unstorableCode } from '../postgres/unstorable.ts'
import type { Backlog } from './backlog.ts'
import type { BufferedMessage } from './buffered-message.ts'
import type { Journal } from './journal.ts'
import type { ReadLoop } from './read-loop.ts'
import type { Unstorable } from './scheduled.ts'
import type { Burial, Endings, Retry } from './settle.ts'

export interface EndingsParts {
  readonly backlog: Backlog
  readonly journal: Journal
  readonly report: (event: RelayEvent) => void
  /** It is made after whoever settles. */
  readonly readLoop: () => Pick<ReadLoop, 'goOn' | 'waitingDueIn' | 'reloadBlocks'>
  /** There may be room, and lanes may be free to leave. */
  readonly onProgress: () => void
}

/** What follows once the end of messages is written down: they leave the backlog, more may be read, and it is told. */
export class EndingsFollowed implements Endings {
  readonly #parts: EndingsParts
  #hasSettled = false

  constructor(parts: EndingsParts) {
    this.#parts = parts
  }

  /** Something was settled since the session began. */
  get hasSettled(): boolean {
    return this.#hasSettled
  }

  settled(messages: readonly BufferedMessage[], ms: number): void {
    const { backlog, journal, report, readLoop, onProgress } = this.#parts
    backlog.settled(messages)
    journal.published(messages)
    this.#hasSettled = true
    report({ type: 'batch.settled', messages: messages.length, ms })
    const through = messages.filter((message) => this.#isThrough(message))
    if (through.length > 0) readLoop().goOn(through.map(({ lane }) => lane))
    onProgress()
  }

  retried(retries: readonly Retry[]): void {
    const { report, readLoop } = this.#parts
    this.#failed(retries.map(({ message }) => message))
    for (const { message, failure, delayMs } of retries) {
      readLoop().waitingDueIn(delayMs)
      const { id, topic, attempt } = message.message
      report({ type: 'message.retry-scheduled', id, topic, attempt, code: failure.code, retryInMs: delayMs })
    }
  }

  buried(burials: readonly Burial[]): void {
    const held = burials.filter(({ isKeyHeld }) => isKeyHeld)
    this.#failed(
      burials.map(({ message }) => message),
      held.map(({ message }) => message),
    )
    for (const { message, failure, reason, isKeyHeld } of burials) {
      const { id, topic, attempt } = message.message
      this.#dead({ id, topic, attempt, reason, code: failure.code, isKeyHeld }, [message.lane])
    }
  }

  /** PostgreSQL refused to store it where it belongs. */
  unstorable(letter: Unstorable): void {
    this.#dead({ ...letter, code: unstorableCode })
  }

  /** @param lanes - where its stream may be held from now on: anywhere when nobody says */
  #dead(
    { isKeyHeld, ...letter }: Omit<Unstorable, 'reason'> & Pick<Burial, 'reason'> & { code: string },
    lanes?: readonly number[],
  ): void {
    const { report, readLoop } = this.#parts
    report({ type: 'message.dead-lettered', ...letter })
    if (isKeyHeld) report({ type: 'key.held', topic: letter.topic, id: letter.id })
    readLoop().reloadBlocks(lanes)
  }

  /** It was the last that had waited in its stream, of what was read: more may wait, or the stream goes on. */
  #isThrough({ stream, hasWaited }: BufferedMessage): boolean {
    return hasWaited && stream !== null && !this.#parts.backlog.hasWaited(stream)
  }

  #failed(messages: readonly BufferedMessage[], held?: readonly BufferedMessage[]): void {
    this.#parts.backlog.confirmed(messages, held)
    this.#parts.onProgress()
  }
}
