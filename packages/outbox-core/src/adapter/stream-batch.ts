import type { Clock } from '../clock.ts'
import { streamOf } from '../message.ts'
import type { ReceivedMessage } from '../received-message.ts'
import { type Applied, appliedOf, type StreamBatches, type StreamHandler } from '../stream-handler.ts'
import type { ResolvedConsumerOptions } from './consumer-settings.ts'
import type { HandlerBreaker } from './handler-breaker.ts'
import type { MessageEnd, MessageInHand } from './message-in-hand.ts'
import { createRunningSignal } from './running-signal.ts'

/**
 * Calls the handler for a message together with what waits behind it in its stream. A batch only saves work: what it does not apply is
 * handled one by one afterwards, as if there had been no batch, and nobody has paid an attempt. So whatever a single message is
 * promised (attempts, backoff, dead letters, holds, outages) holds unchanged, and is written once.
 *
 * The batch runs in the turn of its first message, in which no other of the stream is handled: two batches of a stream never meet. Those that
 * went with it find their end when their own turn comes.
 */
export interface StreamBatch {
  /** How the message ended in a batch before its turn. */
  endOf(inHand: MessageInHand): MessageEnd | undefined
  /**
   * @param stop - aborts when no handler may begin any more
   * @returns tells the broker what was applied and how the first message ended; null when the message must be handled alone
   */
  call(first: MessageInHand, stop: AbortSignal): Promise<(() => Promise<MessageEnd>) | null>
}

export function createStreamBatch(
  options: Pick<ResolvedConsumerOptions, 'handler' | 'store' | 'report'>,
  breaker: HandlerBreaker,
  clock: Clock,
): StreamBatch {
  return new Gatherer(options, breaker, clock)
}

/** A message that may go with others. */
type Member = MessageInHand & { readonly received: { readonly message: ReceivedMessage } }

class Gatherer implements StreamBatch {
  readonly #options: Pick<ResolvedConsumerOptions, 'store' | 'report'>
  readonly #batches: StreamBatches | undefined
  readonly #breaker: HandlerBreaker
  readonly #clock: Clock
  readonly #ends = new WeakMap<MessageInHand, MessageEnd>()
  /** Their batch failed: they are handled alone. */
  readonly #alone = new WeakSet<MessageInHand>()

  constructor(
    options: Pick<ResolvedConsumerOptions, 'handler' | 'store' | 'report'>,
    breaker: HandlerBreaker,
    clock: Clock,
  ) {
    this.#options = options
    this.#breaker = breaker
    this.#batches = (options.handler as Partial<StreamHandler>).byStream
    this.#clock = clock
  }

  endOf(inHand: MessageInHand): MessageEnd | undefined {
    return this.#ends.get(inHand)
  }

  async call(first: MessageInHand, stop: AbortSignal): Promise<(() => Promise<MessageEnd>) | null> {
    const batches = this.#batches
    const members = batches === undefined ? null : this.#gather(first, batches)
    if (batches === undefined || members === null || members.length < 2) return null
    for (const follower of members.slice(1)) follower.taken?.(true)
    // While handlers are paused one message at a time is a probe.
    const pass = this.#breaker.isOpen ? null : await this.#breaker.enter(stop)
    const beganMs = this.#clock.monotonicMs()
    const applied: Applied = pass === null ? { count: 0 } : await this.#run(batches, members)
    const ms = this.#clock.monotonicMs() - beganMs
    if (applied.count > 0) pass?.succeeded()
    else pass?.withdrawn() // The call of the first message alone says more.
    this.#leave(members, applied)
    return applied.count === 0 ? null : () => this.#settle(members.slice(0, applied.count), ms)
  }

  /** From the first on, without a gap. */
  #gather(first: MessageInHand, { maxSize, maxBytes }: StreamBatches): [Member, ...Member[]] | null {
    if (!this.#mayJoin(first)) return null
    const members: [Member, ...Member[]] = [first]
    let bytes = first.received.message.body.byteLength
    for (const next of first.behind?.() ?? []) {
      if (members.length >= maxSize || !this.#mayJoin(next)) break
      bytes += next.received.message.body.byteLength
      if (bytes > maxBytes || streamOf(next.received.message) !== streamOf(first.received.message)) break
      members.push(next)
    }
    return members
  }

  /** Whoever failed before, or may have ended a process, is handled alone. */
  #mayJoin(inHand: MessageInHand): inHand is Member {
    const { received, letter, attempt, isRedelivered, isReleased, lost } = inHand
    if (received.message === null || received.message.orderingKey === null) return false
    if (letter !== undefined || isReleased === true || lost.aborted || attempt > 1) return false
    return !this.#alone.has(inHand) && (this.#options.store === null || isRedelivered === false)
  }

  async #run(batches: StreamBatches, members: readonly [Member, ...Member[]]): Promise<Applied> {
    const running = members.map((member) => createRunningSignal(member, this.#options.report))
    const deliveries = members.map(({ extras, received: { message }, attempt }, index) => ({
      ...extras,
      message,
      attempt,
      signal: running[index]?.signal as AbortSignal,
    }))
    const applied = await appliedOf(batches, deliveries)
    for (const one of running) one.end()
    if (applied.error !== undefined && !deliveries.some(({ signal }) => signal.aborted)) {
      const { topic } = members[0].received.message
      const { reason: error } = applied.error
      this.#options.report({ type: 'batch.failed', topic, messages: members.length, applied: applied.count, error })
    }
    return applied
  }

  /** Those that were not applied wait for their turn again. */
  #leave(members: readonly Member[], { count, error }: Applied): void {
    const rest = members.slice(count)
    if (error !== undefined) for (const one of error.isOfOne ? rest.slice(0, 1) : rest) this.#alone.add(one)
    // One of them is another consumer's now: what is behind it may not go on here.
    const isBroken = members.some(({ lost }) => lost.aborted)
    for (const follower of members.slice(Math.max(1, count)))
      if (isBroken) this.#ends.set(follower, 'left')
      else follower.taken?.(false)
  }

  async #settle(applied: readonly Member[], ms: number): Promise<MessageEnd> {
    const ends = applied.map(async (inHand): Promise<MessageEnd> => {
      const { received, attempt, lost, graceOver } = inHand
      const isOurs = !lost.aborted && graceOver?.aborted !== true
      const end = isOurs && (await inHand.acknowledge()) ? 'settled' : 'left'
      this.#ends.set(inHand, end)
      const { id, type: messageType } = received.message
      if (end === 'settled') this.#options.report({ type: 'message.handled', id, messageType, attempt, ms })
      return end
    })
    return (await Promise.all(ends))[0] as MessageEnd
  }
}
