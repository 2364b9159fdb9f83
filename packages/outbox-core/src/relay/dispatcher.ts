import { relayDied } from '../postgres/relay-statements.ts'
import type { DestinationFailure, PublishFailure, PublishResult } from '../publisher.ts'
import type { Backlog } from './backlog.ts'
import { Breakers, type OpenBreaker } from './breakers.ts'
import type { BufferedMessage } from './buffered-message.ts'
import { accuse, type Passes } from './accuse.ts'
import { resultsOf, wordsOf } from './foreign-input.ts'
import { type FailedMessage, judge, type Outcome } from './outcome.ts'
import type { NotedOutage } from './membership.ts'
import { Outage } from './outage.ts'
import type { ResolvedRelayOptions } from './resolved-options.ts'
import type { Burial, Retry } from './settle.ts'
import { isSuspect } from './suspicion.ts'
import { withoutTooLarge } from './too-large.ts'
import type { Trial } from './trial.ts'

export interface DispatcherParts {
  readonly options: ResolvedRelayOptions
  readonly backlog: Backlog
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
  /** Topics go on, or a destination is to be tried: the table has something for us. */
  readonly onReadable: () => void
}

const poison: PublishFailure = {
  kind: 'permanent',
  code: relayDied,
  message: 'each of its last attempts ended with the death of the relay',
}

/** How long an aborted publisher may take to say what it knows, in milliseconds. */
const abortGraceMs = 1_000

/** A publish that takes longer than this keeps no others from being sent, in milliseconds. */
const slowAfterMs = 1_000

/** A publish under way. */
interface Flight {
  readonly items: readonly BufferedMessage[]
  readonly topics: ReadonlySet<string>
  readonly controller: AbortController
  readonly startMs: number
  /** The destination it tries, or null. */
  readonly probed: string | null
  /** Batches that had passed when it began. */
  readonly passesAtStart: number
  isSlow: boolean
}

/** Why a topic is suspended. */
const unavailableAt = (destination: string): string => `unavailable ${destination}`
const slow = 'slow'

/**
 * Hands batches to the publisher, as many at a time as configured, and passes on what became of them.
 *
 * It tells apart what is at fault: the message (it pays an attempt), the destination (its topics are suspended until a probe
 * gets through) or the broker (everything pauses). A publish that hangs gives up its place, and its topics stand still.
 */
export class Dispatcher {
  readonly #parts: DispatcherParts
  readonly #outage: Outage
  readonly #breakers: Breakers
  readonly #flights = new Set<Flight>()
  readonly #passesOf = new Map<string, number>()
  #passes = 0
  #lastOutage: Omit<NotedOutage, 'ageMs'> = { destination: '', topics: [], code: '', message: '' }
  #isStopped = false
  #cancelTimer: (() => void) | null = null
  /** The reader was told that a destination is to be tried, and has not come yet. */
  #isProbeAsked = false
  #onEmpty: (() => void) | null = null
  /** Suspects are published, or wait for what is in flight to end: nothing else may start. */
  #isTrying = false
  #onAlone: (() => void) | null = null

  constructor(parts: DispatcherParts) {
    this.#parts = parts
    this.#outage = new Outage(parts.options.outageBackoff)
    this.#breakers = new Breakers(parts.options.destinationBackoff)
  }

  get inFlight(): number {
    return this.#flights.size
  }

  /** Pausing because the broker is out of reach. */
  get isOut(): boolean {
    return this.#outage.isOpen
  }

  /** Destinations that take nothing now. */
  get openBreakers(): readonly OpenBreaker[] {
    return this.#breakers.list()
  }

  /** Rises when an outage begins or ends, or reaches another topic. */
  get outagesVersion(): number {
    return this.#breakers.version + this.#outage.version
  }

  /** All that is out of reach now, for operators. */
  outages(): readonly NotedOutage[] {
    const nowMs = this.#parts.options.clock.monotonicMs()
    const noted: NotedOutage[] = this.#breakers.list().map(({ destination, topics, sinceMs, failure }) => {
      const { code, message } = failure
      return { destination, topics: [...topics], ageMs: nowMs - sinceMs, code, message }
    })
    if (this.#outage.isOpen) noted.push({ ...this.#lastOutage, ageMs: this.#outage.ageMs(nowMs) })
    return noted
  }

  /** Starts what may start now. Cheap when nothing may. */
  pump(): void {
    const { options, backlog, isTrusted } = this.#parts
    while (this.#mayStart() && this.#places < options.concurrency && isTrusted()) {
      if (!this.#outage.mayGo(options.clock.monotonicMs())) break
      const batch = backlog.take(options.batchSize, options.maxBatchBytes)
      if (batch.length === 0) break
      this.#outage.sent()
      void this.#publish(batch, null)
    }
    this.#wakeAfterPause()
  }

  /** Destinations to be tried now, and the topics to try them with: read messages of them for `probe`. */
  startProbes(): readonly { readonly destination: string; readonly topics: readonly string[] }[] {
    const { backlog } = this.#parts
    const nowMs = this.#parts.options.clock.monotonicMs()
    this.#isProbeAsked = false
    if (!this.#mayStart() || !this.#outage.mayGo(nowMs)) return []
    // While the broker is out of reach there is one probe at a time, of whatever kind.
    const started = this.#breakers.startProbes(nowMs, this.#outage.isOpen ? 1 : Number.POSITIVE_INFINITY)
    const probes: { destination: string; topics: string[] }[] = []
    for (const { destination, topics } of started) {
      const goingOn = [...topics].filter((topic) => !backlog.isPaused(topic))
      if (goingOn.length > 0) probes.push({ destination, topics: goingOn })
      else this.#breakers.probeFailed(destination, nowMs) // Nobody knows whether it is back while all of it is paused.
    }
    if (probes.length > 0) this.#outage.sent()
    return probes
  }

  /** Tries the destination with the messages, beside all others. Without any, nothing waits for it: it counts as well. */
  probe(destination: string, samples: readonly BufferedMessage[]): void {
    const { backlog, options, isTrusted } = this.#parts
    const isReady = this.#mayStart() && isTrusted()
    // Suspects are tried alone, whatever their company may be.
    const batch = isReady ? backlog.takeProbe(samples.some(isSuspect) ? samples.slice(0, 1) : samples) : []
    if (batch.length > 0) return void this.#publish(batch, destination)
    this.#outage.withdrawn()
    if (samples.length === 0) this.#close(destination)
    else this.#breakers.probeFailed(destination, options.clock.monotonicMs())
    this.#wakeAfterPause()
  }

  /** Starts nothing any more. Resolves when nothing is in flight. */
  stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelTimer?.()
    return new Promise((resolve) => {
      this.#onEmpty = resolve
      if (this.#flights.size === 0) resolve()
    })
  }

  /** Tells every publisher call in flight to end with what it knows. */
  abort(): void {
    for (const { controller } of this.#flights) controller.abort()
  }

  #mayStart(): boolean {
    return !this.#isStopped && !this.#isTrying
  }

  /** Places taken: not by a probe, nor by a publish that hangs. */
  get #places(): number {
    let places = 0
    for (const { probed, isSlow } of this.#flights) if (probed === null && !isSlow) places++
    return places
  }

  async #publish(items: readonly BufferedMessage[], probed: string | null): Promise<void> {
    const { onProgress, options, backlog } = this.#parts
    const flight: Flight = {
      items,
      topics: topicsOf(items),
      controller: new AbortController(),
      startMs: options.clock.monotonicMs(),
      probed,
      passesAtStart: this.#passes,
      isSlow: false,
    }
    this.#flights.add(flight)
    const cancelSlow = options.clock.after(Math.min(slowAfterMs, options.publishTimeoutMs / 2), () =>
      this.#hangs(flight),
    )
    if (items.some(isSuspect)) await this.#try(flight)
    else await this.#attempt(flight)
    cancelSlow()
    this.#flights.delete(flight)
    if (flight.isSlow) for (const topic of flight.topics) this.#resume(topic, slow)
    else if (flight.topics.size === 1) for (const topic of flight.topics) backlog.mix(topic)
    if (this.#flights.size === 1) this.#onAlone?.()
    if (this.#flights.size === 0) this.#onEmpty?.()
    onProgress()
    this.pump()
  }

  /** Gives the place away, and keeps the topics' other messages from taking it. */
  #hangs(flight: Flight): void {
    const { backlog } = this.#parts
    flight.isSlow = true
    for (const topic of flight.topics) {
      backlog.isolate(topic)
      backlog.suspend(topic, slow)
    }
    this.#parts.onReadable()
    this.pump()
  }

  async #attempt(flight: Flight): Promise<void> {
    try {
      const results = await this.#call(flight)
      this.#answered(flight, results)
    } catch (error) {
      this.#rejected(flight, error)
    }
  }

  /** Publishes suspects while nothing else is in flight: should the process die now, it was one of them. */
  async #try(flight: Flight): Promise<void> {
    const { options, backlog, isTrusted, trial } = this.#parts
    const [first] = flight.items
    if (first?.diedAlone === true && first.message.attempt > options.maxAttempts) {
      this.#outage.withdrawn()
      return this.#end(flight, [{ message: first, failure: poison }], [])
    }
    this.#isTrying = true
    if (this.#flights.size > 1) await new Promise<void>((resolve) => (this.#onAlone = resolve))
    this.#onAlone = null
    const isMarked = !this.#isStopped && (await trial.begin(flight.items))
    // Much may have happened until it was alone: an earlier message was replayed, the topic paused.
    const mayGo =
      !this.#isStopped && !flight.controller.signal.aborted && !backlog.isClosedTo(flight.items, flight.probed !== null)
    if (isMarked && mayGo && isTrusted()) await this.#attempt(flight)
    else {
      this.#outage.withdrawn()
      if (flight.probed !== null) this.#breakers.probeFailed(flight.probed, options.clock.monotonicMs())
      this.#end(flight, [], flight.items)
    }
    if (isMarked) await trial.end()
    this.#isTrying = false
  }

  /** The publisher's answer within the timeout, or soon after it was told to stop. */
  async #call({ items, controller }: Flight): Promise<readonly PublishResult[]> {
    const { clock, publisher, publishTimeoutMs } = this.#parts.options
    const cancelAbort = clock.after(publishTimeoutMs, () => controller.abort())
    let cancelGiveUp = (): void => {}
    const gaveUp = new Promise<never>((_resolve, reject) => {
      controller.signal.addEventListener('abort', () => {
        cancelGiveUp = clock.after(abortGraceMs, () => reject(new Error('the publisher did not answer in time')))
      })
    })
    try {
      const { sent, refused } = withoutTooLarge(items)
      if (refused.length === 0) return await Promise.race([publisher.publish(sent, controller.signal), gaveUp])
      const answer = sent.length === 0 ? [] : await Promise.race([publisher.publish(sent, controller.signal), gaveUp])
      return [...resultsOf(answer), ...refused]
    } finally {
      cancelAbort()
      cancelGiveUp()
    }
  }

  #answered(flight: Flight, results: readonly PublishResult[]): void {
    const { options, settler } = this.#parts
    const { items, controller, startMs } = flight
    const outcome = judge(items, results)
    if (outcome.accepted.length > 0) settler.published(outcome.accepted)
    const nowMs = options.clock.monotonicMs()
    options.report({
      type: 'batch.published',
      messages: outcome.accepted.length,
      failed: items.length - outcome.accepted.length,
      ms: nowMs - startMs,
    })
    const { paying, unavailable, unanswered, words } = sort(outcome, controller.signal.aborted)
    if (unanswered.length > 0 && outcome.accepted.length === 0 && unavailable.length === 0)
      return this.#rejected(flight, new Error(words), paying)
    this.#passed(flight, outcome)
    for (const { message, failure } of unavailable) this.#open(failure as DestinationFailure, message)
    // Something got through, so the broker is there: it is these messages' destinations that do not answer.
    for (const { message } of unanswered) this.#open(unansweredBy(message, words), message)
    this.#judgeProbe(flight, outcome, unavailable, unanswered.length > 0)
    this.#end(flight, paying, [...[...unavailable, ...unanswered].map(({ message }) => message), ...outcome.behind])
  }

  /** The broker is there. */
  #passed({ topics }: Flight, { accepted }: Outcome): void {
    const { options, backlog } = this.#parts
    this.#passes++
    const acceptedTopics = topics.size === 1 && accepted.length > 0 ? topics : topicsOf(accepted)
    for (const topic of acceptedTopics) this.#passesOf.set(topic, (this.#passesOf.get(topic) ?? 0) + 1)
    const endedAfterMs = this.#outage.answered(options.clock.monotonicMs())
    if (endedAfterMs === null) return
    backlog.outageEnded()
    options.report({ type: 'outage.ended', ms: endedAfterMs })
  }

  /** The publisher rejected the batch as a whole, or nothing at all was heard of it. */
  #rejected(flight: Flight, error: unknown, paying: readonly FailedMessage[] = []): void {
    const { options, backlog } = this.#parts
    const { probed } = flight
    const items =
      paying.length === 0
        ? flight.items
        : flight.items.filter((item) => !paying.some(({ message }) => message === item))
    const nowMs = options.clock.monotonicMs()
    if (probed !== null) this.#breakers.probeFailed(probed, nowMs)
    if (this.#isStopped) return this.#end(flight, paying, items)
    const passes: Passes = {
      all: this.#passes,
      of: (topic) => this.#passesOf.get(topic) ?? 0,
      outages: backlog.outages,
    }
    const verdict = accuse(items, flight.passesAtStart, passes)
    if (verdict === 'broker') {
      const retryInMs = this.#outage.rejected(nowMs)
      this.#lastOutage = { destination: '', topics: [], code: 'REJECTED', message: wordsOf(error) }
      if (retryInMs !== null) options.report({ type: 'outage.started', error, retryInMs })
      return this.#end(flight, paying, items)
    }
    this.#outage.withdrawn()
    const [message] = items
    if (verdict === 'message' && message !== undefined) {
      const failure = { kind: 'retryable' as const, code: 'REJECTED', message: wordsOf(error), cause: error }
      return this.#end(flight, [...paying, { message, failure }], [])
    }
    // One that hangs while others get through is not searched for a culprit, at a timeout for each piece.
    if (verdict === 'destination' || flight.isSlow)
      for (const item of items) this.#open(unansweredBy(item, wordsOf(error)), item)
    this.#end(flight, paying, items)
  }

  #open(failure: DestinationFailure, { message: { topic } }: BufferedMessage): void {
    const { options, backlog } = this.#parts
    const { destination, code, message, cause } = failure
    const retryInMs = this.#breakers.fail(failure, topic, options.clock.monotonicMs())
    backlog.suspend(topic, unavailableAt(destination))
    if (retryInMs === null) return
    const error = new Error(`${code}: ${message}`, { cause })
    options.report({ type: 'outage.started', destination, error, retryInMs })
  }

  #close(destination: string): void {
    const { options } = this.#parts
    const topics = this.#breakers.topicsOf(destination)
    const ms = this.#breakers.close(destination, options.clock.monotonicMs())
    if (ms === null) return
    options.report({ type: 'outage.ended', destination, ms })
    for (const topic of topics) this.#resume(topic, unavailableAt(destination))
  }

  #resume(topic: string, reason: string): void {
    if (this.#parts.backlog.resume(topic, reason)) this.#parts.onReadable()
  }

  #judgeProbe(
    { probed }: Flight,
    { accepted }: Outcome,
    unavailable: readonly FailedMessage[],
    isUnanswered: boolean,
  ): void {
    if (probed === null) return
    const isRefused = unavailable.some(
      ({ failure }) => failure.kind === 'unavailable' && failure.destination === probed,
    )
    if (accepted.length > 0 || !(isRefused || isUnanswered)) this.#close(probed)
    else this.#breakers.probeFailed(probed, this.#parts.options.clock.monotonicMs())
  }

  /** Decides who comes again and who is dead, and gives the batch back before anything behind it can be sent. */
  #end({ items }: Flight, paying: readonly FailedMessage[], returned: readonly BufferedMessage[]): void {
    const { options, settler, backlog } = this.#parts
    backlog.end(items, { failed: paying.map(({ message }) => message), returned })
    const retries: Retry[] = []
    const burials: Burial[] = []
    for (const one of paying) {
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
    }
    if (retries.length > 0) settler.retry(retries)
    if (burials.length > 0) settler.bury(burials)
  }

  #wakeAfterPause(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    const { backlog } = this.#parts
    const { clock } = this.#parts.options
    const outageEndsMs = this.#outage.isOpen ? this.#outage.retryAtMs : 0
    if (this.#isStopped || !this.#outage.mayGo(outageEndsMs)) return // What is under way comes back here.
    const pumpAtMs =
      this.#outage.isOpen && this.#flights.size === 0 && backlog.waiting > 0 ? outageEndsMs : Number.POSITIVE_INFINITY
    const probeAtMs = this.#isProbeAsked ? Number.POSITIVE_INFINITY : this.#breakers.nextProbeAtMs
    const atMs = Math.min(pumpAtMs, Math.max(probeAtMs, outageEndsMs))
    if (atMs === Number.POSITIVE_INFINITY) return
    this.#cancelTimer = clock.after(Math.max(1, atMs - clock.monotonicMs()), () => {
      if (this.#breakers.nextProbeAtMs <= clock.monotonicMs()) {
        this.#isProbeAsked = true
        this.#parts.onReadable()
      }
      this.pump()
    })
  }
}

/** Sorts what was not accepted by who is at fault. */
function sort(
  { failed }: Outcome,
  isAborted: boolean,
): { paying: FailedMessage[]; unavailable: FailedMessage[]; unanswered: FailedMessage[]; words: string } {
  const unavailable = failed.filter(({ failure }) => failure.kind === 'unavailable')
  const isLost = ({ failure }: FailedMessage): boolean => failure.code === 'CONNECTION_LOST'
  const isCut = isAborted || failed.some(isLost)
  // Our impatience and the broker's end are no fault of the messages.
  const unanswered = isCut ? failed.filter(({ failure }) => failure.kind === 'retryable') : []
  const paying = failed.filter((one) => !unavailable.includes(one) && !unanswered.includes(one))
  const words = isAborted ? 'the publish timed out' : (failed.find(isLost)?.failure.message ?? '')
  return { paying, unavailable, unanswered, words }
}

function unansweredBy({ message: { topic } }: BufferedMessage, words: string): DestinationFailure {
  return { kind: 'unavailable', destination: `topic "${topic}"`, code: 'NO_ANSWER', message: words }
}

function topicsOf(messages: readonly BufferedMessage[]): Set<string> {
  const topics = new Set<string>()
  for (const { message } of messages) topics.add(message.topic)
  return topics
}
