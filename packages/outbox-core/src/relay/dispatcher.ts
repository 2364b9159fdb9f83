import { relayDied } from '../postgres/relay-statements.ts'
import type { PublishFailure, PublishResult } from '../publisher.ts'
import type { Blocks } from './blocks.ts'
import type { Buffer as MessageBuffer, BufferedMessage } from './buffer.ts'
import { withoutTooLarge } from './too-large.ts'
import { resultsOf, wordsOf } from './foreign-input.ts'
import type { Lanes } from './lanes.ts'
import { type FailedMessage, judge, type Outcome } from './outcome.ts'
import { Outage, type Piece } from './outage.ts'
import type { ResolvedRelayOptions } from './resolved-options.ts'
import type { Schedule } from './schedule.ts'
import type { Burial, Retry } from './settle.ts'
import { isSuspect } from './suspicion.ts'
import type { Trial } from './trial.ts'

export interface DispatcherParts {
  readonly options: ResolvedRelayOptions
  readonly schedule: Schedule
  readonly buffer: MessageBuffer
  readonly blocks: Blocks
  readonly lanes: Lanes
  readonly settler: {
    published(messages: readonly BufferedMessage[]): void
    retry(retries: readonly Retry[]): void
    bury(burials: readonly Burial[]): void
  }
  readonly trial: Trial
  /** Whether our lease is certain enough to publish. */
  readonly isTrusted: () => boolean
  /** A publish ended: there may be room, and lanes may be free to leave. */
  readonly onProgress: () => void
}

const poison: PublishFailure = {
  kind: 'permanent',
  code: relayDied,
  message: 'each of its last attempts ended with the death of the relay',
}

/** How long an aborted publisher may take to say what it knows, in milliseconds. */
const abortGraceMs = 1_000

/** Hands batches to the publisher, as many at a time as configured, and passes on what became of them. */
export class Dispatcher {
  readonly #parts: DispatcherParts
  readonly #outage: Outage
  readonly #inFlight = new Set<AbortController>()
  #isStopped = false
  #cancelTimer: (() => void) | null = null
  #onEmpty: (() => void) | null = null
  /** Suspects are published, or wait for what is in flight to end: nothing else may start. */
  #isTrying = false
  #onAlone: (() => void) | null = null

  constructor(parts: DispatcherParts) {
    this.#parts = parts
    this.#outage = new Outage(parts.options.outageBackoff)
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  /** Pausing because the broker is out of reach. */
  get isOut(): boolean {
    return this.#outage.isOpen
  }

  /** Starts what may start now. Cheap when nothing may. */
  pump(): void {
    const { options, schedule, isTrusted } = this.#parts
    while (!this.#isStopped && !this.#isTrying && this.#inFlight.size < options.concurrency && isTrusted()) {
      const piece = this.#outage.next(options.clock.monotonicMs(), () =>
        schedule.take(options.batchSize, options.maxBatchBytes),
      )
      if (piece === null) break
      void this.#publish(piece)
    }
    this.#wakeAfterPause()
  }

  /** Starts nothing any more. Resolves when nothing is in flight. */
  stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelTimer?.()
    return new Promise((resolve) => {
      this.#onEmpty = resolve
      if (this.#inFlight.size === 0) resolve()
    })
  }

  /** Tells every publisher call in flight to end with what it knows. */
  abort(): void {
    for (const controller of this.#inFlight) controller.abort()
  }

  /** Forgets what waits to be sent of these messages' kind; what is in flight goes on. */
  drop(isDropped: (message: BufferedMessage) => boolean): void {
    const { buffer, schedule } = this.#parts
    const dropped = this.#outage.remove(isDropped)
    if (dropped.length === 0) return
    for (const message of dropped) buffer.drop(message)
    // They kept their orders busy. When their lane comes back in this session, nobody else would free these.
    const waiting = this.#outage.waitingOrders()
    schedule.release(dropped.filter(({ order }) => order !== null && !waiting.has(order)))
  }

  async #publish(piece: Piece): Promise<void> {
    const { onProgress } = this.#parts
    const controller = new AbortController()
    this.#inFlight.add(controller)
    if (piece.items.some(isSuspect)) await this.#try(piece, controller)
    else await this.#attempt(piece, controller)
    this.#inFlight.delete(controller)
    if (this.#inFlight.size === 1) this.#onAlone?.()
    if (this.#inFlight.size === 0) this.#onEmpty?.()
    onProgress()
    this.pump()
  }

  async #attempt(piece: Piece, controller: AbortController): Promise<void> {
    const { clock } = this.#parts.options
    const startMs = clock.monotonicMs()
    try {
      const results = await this.#call(piece, controller)
      this.#answered(piece, results, controller.signal.aborted, startMs)
    } catch (error) {
      this.#rejected(piece, error)
    }
  }

  /** Publishes suspects while nothing else is in flight: should the process die now, it was one of them. */
  async #try(piece: Piece, controller: AbortController): Promise<void> {
    const { options, buffer, isTrusted, trial } = this.#parts
    const [first] = piece.items
    if (first?.diedAlone === true && first.message.attempt > options.maxAttempts) {
      this.#outage.withdrawn(piece, true)
      this.#fail([{ message: first, failure: poison }])
      return this.#release(piece)
    }
    this.#isTrying = true
    if (this.#inFlight.size > 1) await new Promise<void>((resolve) => (this.#onAlone = resolve))
    this.#onAlone = null
    const isMarked = !this.#isStopped && (await trial.begin(piece.items))
    if (isMarked && !this.#isStopped && !controller.signal.aborted && isTrusted())
      await this.#attempt(piece, controller)
    else {
      this.#outage.withdrawn(piece, this.#isStopped)
      if (this.#isStopped) for (const message of piece.items) buffer.drop(message)
      this.#release(piece)
    }
    if (isMarked) await trial.end()
    this.#isTrying = false
  }

  /** The publisher's answer within the timeout, or soon after it was told to stop. */
  async #call(piece: Piece, controller: AbortController): Promise<readonly PublishResult[]> {
    const { clock, publisher, publishTimeoutMs } = this.#parts.options
    const cancelAbort = clock.after(publishTimeoutMs, () => controller.abort())
    let cancelGiveUp = (): void => {}
    const gaveUp = new Promise<never>((_resolve, reject) => {
      controller.signal.addEventListener('abort', () => {
        cancelGiveUp = clock.after(abortGraceMs, () => reject(new Error('the publisher did not answer in time')))
      })
    })
    try {
      const { sent, refused } = withoutTooLarge(piece.items)
      if (refused.length === 0) return await Promise.race([publisher.publish(sent, controller.signal), gaveUp])
      const answer = sent.length === 0 ? [] : await Promise.race([publisher.publish(sent, controller.signal), gaveUp])
      return [...resultsOf(answer), ...refused]
    } finally {
      cancelAbort()
      cancelGiveUp()
    }
  }

  #answered(piece: Piece, results: readonly PublishResult[], isAborted: boolean, startMs: number): void {
    const { options, settler } = this.#parts
    const outcome = judge(piece.items, results)
    if (outcome.accepted.length > 0) settler.published(outcome.accepted)
    options.report({
      type: 'batch.published',
      messages: outcome.accepted.length,
      failed: piece.items.length - outcome.accepted.length,
      ms: options.clock.monotonicMs() - startMs,
    })
    const lost = outcome.failed.find(({ failure }) => failure.code === 'CONNECTION_LOST')
    const interruption = isAborted ? 'the publish timed out' : lost?.failure.message
    if (interruption !== undefined && this.#isUnanswered(piece, outcome, interruption)) return
    const endedAfterMs = this.#outage.passed(piece, options.clock.monotonicMs())
    if (endedAfterMs !== null) options.report({ type: 'outage.ended', ms: endedAfterMs })
    this.#fail(outcome.failed)
    for (const message of outcome.behind) this.#parts.buffer.drop(message)
    this.#release(piece)
  }

  /**
   * Our impatience and the broker's end are no fault of the messages: what was not accepted by then counts as rejected by
   * the broker.
   *
   * @returns false when everything got a real answer
   */
  #isUnanswered(piece: Piece, { failed, behind }: Outcome, words: string): boolean {
    const dead = failed.filter(({ failure }) => failure.kind === 'permanent')
    const unanswered = [...failed.filter((one) => !dead.includes(one)).map(({ message }) => message), ...behind]
    if (unanswered.length === 0) return false
    unanswered.sort((a, b) => a.seq - b.seq)
    if (piece.from !== null) piece.from.items = [...unanswered, ...piece.from.items.slice(piece.items.length)]
    this.#rejected({ items: unanswered, from: piece.from }, new Error(words), piece)
    this.#fail(dead)
    return true
  }

  #rejected(piece: Piece, error: unknown, whole: Piece = piece): void {
    const { options, buffer } = this.#parts
    if (this.#isStopped) {
      for (const message of piece.items) buffer.drop(message)
      return
    }
    const verdict = this.#outage.rejected(piece, options.clock.monotonicMs())
    if (verdict.kind === 'culprit') {
      const failure = { kind: 'retryable' as const, code: 'REJECTED', message: wordsOf(error), cause: error }
      this.#fail([{ message: verdict.message, failure }])
    } else if (verdict.kind === 'outage' && verdict.hasStarted) {
      options.report({ type: 'outage.started', error, retryInMs: verdict.retryInMs })
    }
    this.#release(whole)
  }

  /** Frees the orders of the piece, except those with messages that still wait in a rejected batch. */
  #release(piece: Piece): void {
    const { schedule, lanes } = this.#parts
    this.drop((message) => !lanes.isActive(message.lane))
    const waiting = this.#outage.waitingOrders()
    if (waiting.size === 0) schedule.release(piece.items)
    else schedule.release(piece.items.filter(({ order }) => order !== null && !waiting.has(order)))
  }

  /** Decides who comes again and who is dead, and blocks their orders before anything behind them can be sent. */
  #fail(failed: readonly FailedMessage[]): void {
    if (failed.length === 0) return
    const { options, settler, blocks, schedule, buffer } = this.#parts
    const retries: Retry[] = []
    const burials: Burial[] = []
    for (const one of failed) {
      const { message, failure } = one
      const isDead = failure.kind === 'permanent' || message.message.attempt >= options.maxAttempts
      if (isDead) {
        const reason = failure === poison ? 'POISON' : failure.kind === 'permanent' ? 'PERMANENT' : 'MAX_ATTEMPTS'
        const isKeyHeld = message.order !== null && options.afterDeadLetter(message.message.topic) === 'hold'
        burials.push({ ...one, reason, isKeyHeld })
      } else {
        const delayMs = Math.max(options.backoff(message.message.attempt), failure.retryAfterMs ?? 0)
        retries.push({ ...one, delayMs })
      }
      if (message.order === null) continue
      blocks.block(message.order, message.lane, message.seq, { pending: true })
      for (const behind of schedule.dropOrder(message.order)) buffer.drop(behind)
      this.drop((other) => other.order === message.order)
    }
    if (retries.length > 0) settler.retry(retries)
    if (burials.length > 0) settler.bury(burials)
  }

  #wakeAfterPause(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    if (!this.#outage.isOpen || this.#isStopped || this.#inFlight.size > 0) return
    const { clock } = this.#parts.options
    this.#cancelTimer = clock.after(Math.max(1, this.#outage.retryAtMs - clock.monotonicMs()), () => this.pump())
  }
}
