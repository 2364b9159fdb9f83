import { exponentialBackoff } from '../backoff.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { Delivery } from '../consumer.ts'
import type { DeadLetterReason } from '../dead-letter-reason.ts'
import type { ReceivedMessage } from '../received-message.ts'
import { createCalls, type Calls } from './calls.ts'
import type { ResolvedConsumerOptions } from './consumer-settings.ts'
import { failureOf } from './failure-of.ts'
import { createHandlerBreaker, type HandlerBreaker, type Pass } from './handler-breaker.ts'
import { createKeyedQueue, type KeyedQueue } from './keyed-queue.ts'
import { linked } from './linked.ts'
import type { MessageEnd, MessageInHand } from './message-in-hand.ts'
import { type Death, deathOf, mendBackoff, putAway } from './put-away.ts'
import { handleReleased } from './released-streams.ts'
import { createRunningSignal } from './running-signal.ts'
import { createStreamBatch, type StreamBatch } from './stream-batch.ts'
import { createTogether, type Together } from './together.ts'

/**
 * What an adapter's consumer hands its messages to. It calls the handler, counts attempts, keeps order and decides about dead letters, so that
 * all this is the same for each broker. Get one from `createMessageProcessor`.
 */
export interface MessageProcessor {
  /** Whether handlers are kept from being called because what they need is away. */
  readonly isPaused: boolean
  /**
   * Sees a message through: calls the handler until it resolves or the message is dead, and tells the broker. Reports after the
   * broker took the acknowledgement or the dead letter, never before. Never rejects because of a handler or a broker.
   */
  process(inHand: MessageInHand): Promise<MessageEnd>
  /**
   * Handles the messages of streams that an operator let go on, until `ending` aborts; does nothing unless the consumer holds
   * streams. Call it when the consumer starts, and wait for it when the consumer stops. Never rejects.
   */
  handleReleased(signals: Pick<MessageInHand, 'ending' | 'graceOver'>): Promise<void>
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
  /** Applied together with what waited behind it. */
  | { readonly action: 'settle'; readonly settle: () => Promise<MessageEnd> }

/** Pauses of one message whose handler finds something away while other messages pass. Below a second, as everything that waits for a mend. */
const outageBackoff = exponentialBackoff({ baseMs: 200, maxMs: 900 })

/** A message and all that its way through needs. */
interface Passage {
  readonly inHand: MessageInHand
  readonly message: ReceivedMessage
  readonly calls: Calls
  /** Aborts when no handler may begin any more. */
  readonly stop: AbortSignal
}

class Processor implements MessageProcessor {
  readonly #options: ResolvedConsumerOptions
  readonly #clock: Clock
  readonly #places: KeyedQueue
  readonly #together: Together = createTogether()
  readonly #breaker: HandlerBreaker
  readonly #streams: StreamBatch

  constructor(options: ResolvedConsumerOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#places = createKeyedQueue(options.concurrency)
    this.#breaker = createHandlerBreaker({ ...options, clock })
    this.#streams = createStreamBatch(options, this.#breaker, clock)
  }

  get isPaused(): boolean {
    return this.#breaker.isOpen
  }

  async process(inHand: MessageInHand): Promise<MessageEnd> {
    const endedBefore = this.#streams.endOf(inHand)
    if (endedBefore !== undefined) return endedBefore
    const stopping = linked(inHand.lost, inHand.ending)
    try {
      const { message, error } = inHand.received
      if (message === null) {
        const death = { message: null, attempts: inHand.attempt, reason: 'UNDECODABLE', error } as const
        return await this.#putAway(inHand, death, stopping.signal)
      }
      if (inHand.letter !== undefined) {
        const end = await this.#putAway(inHand, deathOf(message, inHand.letter), stopping.signal)
        if (end === 'settled') await this.#noted(async () => this.#options.store?.forget(message.id))
        return end
      }
      const holds = this.#options.holds && message.orderingKey !== null
      const { store, maxAttempts } = this.#options
      const calls = createCalls(store, inHand, message, maxAttempts, holds)
      const passage = { inHand: holds ? this.#holding(inHand, message) : inHand, message, calls, stop: stopping.signal }
      if (!(await this.#untilStored(passage, () => calls.look()))) return 'left'
      const mustPark = calls.isHeld && inHand.isReleased !== true
      return (mustPark ? await this.#park(passage) : null) ?? (await this.#handle(passage))
    } finally {
      stopping.unlink()
    }
  }

  handleReleased(signals: Pick<MessageInHand, 'ending' | 'graceOver'>): Promise<void> {
    const { store, holds } = this.#options
    if (store === null || !holds) return Promise.resolve()
    const process = (inHand: MessageInHand): Promise<MessageEnd> => this.process(inHand)
    return handleReleased({ ...signals, store, process, clock: this.#clock, report: this.#options.report })
  }

  /** Its dead letter stays in the store, at the head of its stream. */
  #holding(inHand: MessageInHand, message: ReceivedMessage): MessageInHand {
    const { store, report } = this.#options
    const { defer: _, ...rest } = inHand
    return {
      ...rest,
      deadLetter: async (letter) => {
        await store?.hold(message, letter.note)
        await inHand.onHeld?.()
        report({ type: 'stream.held', topic: message.topic, id: message.id })
      },
    }
  }

  /** Null: the stream is not held any more. */
  async #park(passage: Passage): Promise<MessageEnd | null> {
    const { inHand, message } = passage
    const { id, type: messageType } = message
    let isParked = false
    const park = async (): Promise<void> => {
      isParked = (await this.#options.store?.park(message)) === true
    }
    if (!(await this.#untilStored(passage, park))) return 'left'
    if (!isParked) return null
    if (!(await inHand.acknowledge())) return 'left'
    this.#options.report({ type: 'message.parked', id, messageType })
    return 'settled'
  }

  async #handle(passage: Passage): Promise<MessageEnd> {
    const { inHand, message, calls, stop } = passage
    let outages = 0
    for (;;) {
      const spentReason = this.#spentReason(calls)
      if (spentReason !== null) {
        const error = new Error(
          spentReason === 'POISON' ? 'processes died in its calls' : 'its last failure was not settled',
        )
        return this.#settleDead(passage, spentReason, error)
      }
      const outcome = await this.#places.run(null, () =>
        this.#together.run(calls.mustBeAlone, () => this.#call(passage)),
      )
      if (outcome?.action === 'settle') return outcome.settle()
      if (outcome === null || inHand.lost.aborted || inHand.graceOver?.aborted === true) return 'left'
      if (outcome.action === 'acknowledge') return this.#acknowledge(inHand, message, calls.attempt, outcome.ms)
      if (outcome.action === 'dead-letter') return this.#settleDead(passage, outcome.reason, outcome.error)
      if (outcome.action === 'wait') {
        outages++
        // While handlers are paused the breaker says when; it lets go sooner than any pause of ours.
        if (!this.#breaker.isOpen) await this.#clock.sleep(outageBackoff(outages), stop)
        continue
      }
      outages = 0
      if ((await inHand.retry?.(outcome.inMs, calls.spent)) === true) return 'retried'
      await this.#clock.sleep(outcome.inMs, stop)
    }
  }

  /** Why the handler must not be called again, or null. Without a store the broker's count proves nothing. */
  #spentReason(calls: Calls): DeadLetterReason | null {
    if (this.#options.store === null) return null
    if (calls.isPoison) return 'POISON'
    return calls.spent >= this.#options.maxAttempts ? 'MAX_ATTEMPTS' : null
  }

  async #settleDead(
    { inHand, message, calls, stop }: Passage,
    reason: DeadLetterReason,
    error: unknown,
  ): Promise<MessageEnd> {
    const attempts = Math.max(1, calls.spent)
    const end = await this.#putAway(inHand, { message, attempts, reason, error }, stop)
    // A letter that waits carries its count itself. Brought back without the letter, the message starts anew.
    if (end !== 'left') await this.#noted(() => calls.forget())
    return end
  }

  /** Together with what waits behind the message, where that is wanted and possible. */
  async #call(passage: Passage): Promise<Outcome | null> {
    const { inHand, calls, stop } = passage
    const settle = calls.attempt > 1 ? null : await this.#streams.call(inHand, stop)
    return settle === null ? this.#callOnce(passage) : { action: 'settle', settle }
  }

  /** Null when no handler may begin any more. */
  async #callOnce(passage: Passage): Promise<Outcome | null> {
    const { inHand, message, calls, stop } = passage
    const pass = await this.#breaker.enter(stop)
    if (pass === null) return null
    const { id, type: messageType } = message
    try {
      await calls.begin()
    } catch (error) {
      pass.failed({ id, isOutage: true, error })
      this.#options.report({ type: 'message.outage', id, messageType, attempt: calls.attempt, error })
      return { action: 'wait' }
    }
    const running = createRunningSignal(inHand, this.#options.report)
    const delivery = { ...inHand.extras, message, attempt: calls.attempt, signal: running.signal }
    return this.#callHandler(delivery, pass, calls).finally(() => running.end())
  }

  async #callHandler(delivery: Delivery, pass: Pass, calls: Calls): Promise<Outcome> {
    const startedMs = this.#clock.monotonicMs()
    try {
      await this.#options.handler(delivery)
    } catch (error) {
      const outcome = this.#failed(delivery, error, pass)
      const spends = outcome.action === 'dead-letter' || (outcome.action === 'retry' && outcome.spendsAttempt)
      await this.#noted(() => calls.ended(spends))
      return outcome
    }
    pass.succeeded()
    const ms = this.#clock.monotonicMs() - startedMs
    await this.#noted(() => calls.forget())
    return { action: 'acknowledge', ms }
  }

  /** A count that is not written makes a message suspect, never lost: nothing waits for it. */
  async #noted(write: () => Promise<void>): Promise<void> {
    try {
      await write()
    } catch (error) {
      this.#options.report({ type: 'consumer.store-failed', error })
    }
  }

  /** Without an answer of the store the message may not go on: it may be a stream's that is held. False: the consumer stops first. */
  async #untilStored({ message, calls, stop }: Passage, ask: () => Promise<void>): Promise<boolean> {
    const { id, type: messageType } = message
    for (let failures = 1; !stop.aborted; failures++) {
      try {
        await ask()
        return true
      } catch (error) {
        this.#options.report({ type: 'message.outage', id, messageType, attempt: calls.attempt, error })
        await this.#clock.sleep(mendBackoff(failures), stop)
      }
    }
    return false
  }

  #failed({ message, attempt, signal }: Delivery, error: unknown, pass: Pass): Outcome {
    const { id, type: messageType } = message
    const { report } = this.#options
    const verdict = failureOf(error, attempt, this.#options)
    if (signal.aborted || verdict.kind === 'unknown-type' || verdict.kind === 'not-tried') pass.withdrawn()
    if (signal.aborted) return { action: 'retry', inMs: 0, spendsAttempt: false }
    if (verdict.kind === 'unknown-type' || verdict.kind === 'not-tried') {
      const { inMs: retryInMs } = verdict
      if (verdict.kind === 'unknown-type') report({ type: 'message.unknown-type', id, messageType, retryInMs })
      else report({ type: 'message.failed', id, messageType, attempt, error, retryInMs })
      return { action: 'retry', inMs: retryInMs, spendsAttempt: false }
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

  #putAway(inHand: MessageInHand, death: Death, stop: AbortSignal): Promise<MessageEnd> {
    return putAway(inHand, death, { stop, clock: this.#clock, report: this.#options.report })
  }
}
