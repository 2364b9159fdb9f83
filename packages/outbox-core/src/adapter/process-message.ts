import { randomUUID } from 'node:crypto'
import { exponentialBackoff } from '../backoff.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { DeadLetterReason, Delivery, ReceivedMessage } from '../consumer.ts'
import type { DeadLetterNote } from '../dead-letter-note.ts'
import { OutboxError, PermanentFailure, UnknownTypeError } from '../errors.ts'
import type { ResolvedConsumerOptions } from './consumer-settings.ts'
import { createHandlerBreaker, type HandlerBreaker, type Pass } from './handler-breaker.ts'
import { createKeyedQueue, type KeyedQueue } from './keyed-queue.ts'

/** What came out of decoding: a message, or why it is none. */
export type Received =
  | { readonly message: ReceivedMessage; readonly error?: undefined }
  | { readonly message: null; readonly error: unknown }

/** Decodes without throwing. */
export function receivedOf(decode: () => ReceivedMessage): Received {
  try {
    return { message: decode() }
  } catch (error) {
    return { message: null, error }
  }
}

/** One message on its way through a consumer, and how its broker is told what became of it. */
export interface MessageInHand {
  readonly received: Received
  /** Which attempt the next call of the handler is, from 1. */
  readonly attempt: number
  /** Handed to the handler beside `message`, `attempt` and `signal`. */
  readonly extras?: Readonly<Record<string, unknown>>
  /** Where the message is, for its dead letter. */
  readonly source: string
  readonly position?: string
  /** `message.topic` when the message could not be decoded. */
  readonly topic: string
  /** Aborts when the message is no longer ours: nothing can be told to the broker any more. */
  readonly lost: AbortSignal
  /** Aborts when no handler may begin any more: the consumer stops. */
  readonly ending: AbortSignal
  /** Aborts when a running handler must give up, and what it did afterwards counts no more. */
  readonly graceOver?: AbortSignal
  /** Resolves with whether the broker took it. */
  acknowledge(): boolean | Promise<boolean>
  /**
   * Has the broker give the message again after a pause. Absent, or false: the message waits here.
   *
   * @param spent - attempts that the message has paid for
   */
  retry?(inMs: number, spent: number): boolean | Promise<boolean>
  /**
   * Puts the letter into the place for dead letters and resolves when the broker has it; called again until then.
   *
   * @throws DeadLetterTooLargeError: the letter is then tried in a smaller form
   */
  deadLetter(letter: DeadLetter): Promise<void>
}

export interface DeadLetter {
  /** Another for each letter and the same for each try: where the broker forgets repetitions, it must forget these and no others. */
  readonly id: string
  readonly note: DeadLetterNote
  readonly form: DeadLetterForm
}

/**
 * What the letter carries of the message. `whole`: everything and the note. `bare`: everything that can be put there without the note.
 * `headless`: the body, and of the headers only the note. `stub`: the note alone, which points to where the message was.
 */
export type DeadLetterForm = 'whole' | 'bare' | 'headless' | 'stub'

/** An adapter throws it for a dead letter that can never fit. */
export class DeadLetterTooLargeError extends Error {
  override readonly name = 'DeadLetterTooLargeError'
}

/** `settled`: acknowledged or dead-lettered. `retried`: the broker gives it again. `left`: neither, it is still where it was. */
export type MessageEnd = 'settled' | 'retried' | 'left'

export interface MessageProcessor {
  /** Whether handlers are kept from being called because what they need is away. */
  readonly isPaused: boolean
  /**
   * Sees a message through: calls the handler until it resolves or the message is dead, and tells the broker. Reports after the
   * broker took the acknowledgement or the dead letter, never before. Never rejects because of a handler or a broker.
   */
  process(inHand: MessageInHand): Promise<MessageEnd>
}

/** One for each consumer: all its messages share the handlers' places and the breaker. */
export function createMessageProcessor(options: ResolvedConsumerOptions, clock: Clock = systemClock): MessageProcessor {
  return new Processor(options, clock)
}

/** What became of one call of the handler. */
type Outcome =
  | { readonly action: 'acknowledge'; readonly ms: number }
  | { readonly action: 'dead-letter'; readonly reason: DeadLetterReason; readonly error: unknown }
  | { readonly action: 'retry'; readonly inMs: number; readonly spendsAttempt: boolean }
  /** What the handler needs is away, or nothing succeeds: the message waits here, so that nobody counts its deliveries. */
  | { readonly action: 'wait' }

/** Pauses of one message whose handler finds something away while other messages pass. */
const outageBackoff = exponentialBackoff({ baseMs: 200, maxMs: 5_000 })
/** Below a second, so that letters go on soon after their destination is back. */
const deadLetterBackoff = exponentialBackoff({ baseMs: 100, maxMs: 900 })

const smallerForm: Readonly<Record<DeadLetterForm, DeadLetterForm>> = {
  whole: 'bare',
  bare: 'headless',
  headless: 'stub',
  stub: 'stub',
}

class Processor implements MessageProcessor {
  readonly #options: ResolvedConsumerOptions
  readonly #clock: Clock
  readonly #places: KeyedQueue
  readonly #breaker: HandlerBreaker

  constructor(options: ResolvedConsumerOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#places = createKeyedQueue(options.concurrency)
    this.#breaker = createHandlerBreaker({ ...options, clock })
  }

  get isPaused(): boolean {
    return this.#breaker.isOpen
  }

  async process(inHand: MessageInHand): Promise<MessageEnd> {
    const stopping = linked(inHand.lost, inHand.ending)
    try {
      const { message, error } = inHand.received
      if (message !== null) return await this.#handle(inHand, message, stopping.signal)
      return await this.#deadLetter(inHand, null, inHand.attempt, 'UNDECODABLE', error, stopping.signal)
    } finally {
      stopping.unlink()
    }
  }

  async #handle(inHand: MessageInHand, message: ReceivedMessage, stop: AbortSignal): Promise<MessageEnd> {
    let outages = 0
    for (let attempt = inHand.attempt; ;) {
      const outcome = await this.#places.run(null, () => this.#callOnce(inHand, message, attempt, stop))
      if (outcome === null || inHand.lost.aborted || inHand.graceOver?.aborted === true) return 'left'
      if (outcome.action === 'acknowledge') return this.#acknowledge(inHand, message, attempt, outcome.ms)
      if (outcome.action === 'dead-letter')
        return this.#deadLetter(inHand, message, attempt, outcome.reason, outcome.error, stop)
      if (outcome.action === 'wait') {
        outages++
        // While handlers are paused the breaker says when; it lets go sooner than any pause of ours.
        if (!this.#breaker.isOpen) await this.#clock.sleep(outageBackoff(outages), stop)
        continue
      }
      outages = 0
      const spent = outcome.spendsAttempt ? attempt : attempt - 1
      if ((await inHand.retry?.(outcome.inMs, spent)) === true) return 'retried'
      await this.#clock.sleep(outcome.inMs, stop)
      attempt = spent + 1
    }
  }

  /** Null when no handler may begin any more. */
  async #callOnce(
    inHand: MessageInHand,
    message: ReceivedMessage,
    attempt: number,
    stop: AbortSignal,
  ): Promise<Outcome | null> {
    const pass = await this.#breaker.enter(stop)
    if (pass === null) return null
    const { id } = message
    const running = new AbortController()
    const onLost = (): void => {
      this.#options.report({ type: 'message.hold-lost', id, error: inHand.lost.reason })
      running.abort(inHand.lost.reason)
    }
    const onGraceOver = (): void => running.abort(inHand.graceOver?.reason)
    // Of what happens after the handler ended its signal must not tell.
    inHand.lost.addEventListener('abort', onLost)
    inHand.graceOver?.addEventListener('abort', onGraceOver)
    try {
      return await this.#call({ ...inHand.extras, message, attempt, signal: running.signal }, pass)
    } finally {
      inHand.lost.removeEventListener('abort', onLost)
      inHand.graceOver?.removeEventListener('abort', onGraceOver)
    }
  }

  async #call(delivery: Delivery, pass: Pass): Promise<Outcome> {
    const startedMs = performance.now()
    try {
      await this.#options.handler(delivery)
      pass.succeeded()
      return { action: 'acknowledge', ms: performance.now() - startedMs }
    } catch (error) {
      return this.#failed(delivery, error, pass)
    }
  }

  #failed({ message, attempt, signal }: Delivery, error: unknown, pass: Pass): Outcome {
    const { id, type: messageType } = message
    const { report } = this.#options
    const verdict = failureOf(error, attempt, this.#options)
    if (signal.aborted || verdict.kind === 'unknown-type') pass.withdrawn()
    if (signal.aborted) return { action: 'retry', inMs: 0, spendsAttempt: false }
    if (verdict.kind === 'unknown-type') {
      report({ type: 'message.unknown-type', id, messageType, retryInMs: verdict.inMs })
      return { action: 'retry', inMs: verdict.inMs, spendsAttempt: false }
    }
    const isFree = pass.failed({ id, isOutage: verdict.kind === 'outage', error }) === 'free'
    if (verdict.kind === 'dead' && (!isFree || verdict.reason !== 'MAX_ATTEMPTS'))
      return { action: 'dead-letter', reason: verdict.reason, error }
    if (verdict.kind === 'retryable' && !isFree) {
      report({ type: 'message.failed', id, messageType, attempt, error, retryInMs: verdict.inMs })
      return { action: 'retry', inMs: verdict.inMs, spendsAttempt: true }
    }
    report({ type: 'message.outage', id, messageType, attempt, error })
    return { action: 'wait' }
  }

  async #acknowledge(
    inHand: MessageInHand,
    { id, type: messageType }: ReceivedMessage,
    attempt: number,
    ms: number,
  ): Promise<MessageEnd> {
    if (!(await inHand.acknowledge())) return 'left'
    this.#options.report({ type: 'message.handled', id, messageType, attempt, ms })
    return 'settled'
  }

  /** Until the broker has it: a dead letter that is nowhere would be a loss. It gives up, nothing lost, when the consumer stops. */
  async #deadLetter(
    inHand: MessageInHand,
    message: ReceivedMessage | null,
    attempt: number,
    reason: DeadLetterReason,
    error: unknown,
    stop: AbortSignal,
  ): Promise<MessageEnd> {
    const { report } = this.#options
    const id = message?.id ?? null
    let letter = letterOf(inHand, message, attempt, reason, error)
    for (let failures = 0; !inHand.lost.aborted;) {
      try {
        await inHand.deadLetter(letter)
        if (!(await inHand.acknowledge())) return 'left'
        report({ type: 'message.dead-lettered', id, messageType: message?.type ?? null, attempt, reason, error })
        return 'settled'
      } catch (failure) {
        if (failure instanceof DeadLetterTooLargeError && letter.form !== 'stub') {
          letter = smaller(letter)
          continue
        }
        const retryInMs = deadLetterBackoff(++failures)
        report({ type: 'message.dead-letter-failed', id, error: failure, retryInMs })
        if (inHand.ending.aborted) return 'left'
        await this.#clock.sleep(retryInMs, stop)
      }
    }
    return 'left'
  }
}

/** `AbortSignal.any` keeps every signal it made for as long as its sources live, which is as long as the consumer runs. */
function linked(...sources: readonly AbortSignal[]): { readonly signal: AbortSignal; unlink(): void } {
  const either = new AbortController()
  const onAbort = (): void => either.abort()
  if (sources.some((source) => source.aborted)) either.abort()
  for (const source of sources) source.addEventListener('abort', onAbort)
  return {
    signal: either.signal,
    unlink: () => {
      for (const source of sources) source.removeEventListener('abort', onAbort)
    },
  }
}

function letterOf(
  { source, position, topic }: MessageInHand,
  message: ReceivedMessage | null,
  attempts: number,
  reason: DeadLetterReason,
  error: unknown,
): DeadLetter {
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  const note = { reason, attempts, error: words, source, topic: message?.topic ?? topic, at: new Date().toISOString() }
  return { id: randomUUID(), note: position === undefined ? note : { ...note, position }, form: 'whole' }
}

function smaller({ id, note, form }: DeadLetter): DeadLetter {
  const next = smallerForm[form]
  if (next === 'headless') return { id, note: { ...note, omitted: ['headers'] }, form: next }
  if (next === 'stub') return { id, note: { ...note, omitted: ['headers', 'body'] }, form: next }
  return { id, note, form: next }
}

/** What the handler's error says about its message. */
export type HandlerVerdict =
  | { readonly kind: 'outage' }
  | { readonly kind: 'unknown-type'; readonly inMs: number }
  | { readonly kind: 'retryable'; readonly inMs: number }
  | { readonly kind: 'dead'; readonly reason: DeadLetterReason }

/** Pure: which failures come again, when, and which do not. What the handler says in so many words comes first. */
export function failureOf(
  error: unknown,
  attempt: number,
  options: Pick<ResolvedConsumerOptions, 'maxAttempts' | 'backoff' | 'unknownTypeRetryMs' | 'isOutage'>,
): HandlerVerdict {
  if (error instanceof PermanentFailure) return { kind: 'dead', reason: 'PERMANENT' }
  if (error instanceof UnknownTypeError) return { kind: 'unknown-type', inMs: options.unknownTypeRetryMs }
  if (error instanceof OutboxError && error.code === 'UNDECODABLE_MESSAGE')
    return { kind: 'dead', reason: 'UNDECODABLE' }
  if (options.isOutage(error)) return { kind: 'outage' }
  if (attempt >= options.maxAttempts) return { kind: 'dead', reason: 'MAX_ATTEMPTS' }
  return { kind: 'retryable', inMs: options.backoff(attempt) }
}
