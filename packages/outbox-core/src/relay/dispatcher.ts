import { relayDied } from '../postgres/fragments.ts'
import type { PublishFailure, PublishResult } from '../publisher.ts'
import type { Backlog } from './backlog.ts'
import type { OpenBreaker } from './breakers.ts'
import type { BufferedMessage } from './buffered-message.ts'
import { Faults, type Judgement, type Probe } from './faults.ts'
import { type Flight, topicsOf } from './flight.ts'
import { resultsOf } from './foreign-input.ts'
import type { NotedOutage } from '../postgres/membership.ts'
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
  /** A publish ended: there may be room, and lanes may be free to leave. Or a destination is to be tried. */
  readonly onProgress: () => void
  /** Topics go on: the table has something for us. */
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

/** Why a topic is suspended: one of its publishes hangs. */
const slow = 'slow'

/**
 * Hands batches to the publisher, as many at a time as configured for each route, and passes on what became of them. Whose
 * fault it is when something is not accepted, `Faults` says.
 *
 * A publish that hangs gives up its place, and its topics stand still until it ends.
 */
export class Dispatcher {
  readonly #parts: DispatcherParts
  readonly #faults: Faults
  readonly #flights = new Set<Flight>()
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
    this.#faults = new Faults(parts)
  }

  /** Pausing because the broker is out of reach. */
  get isOut(): boolean {
    return this.#faults.isOut
  }

  /** Destinations that take nothing now. */
  get openBreakers(): readonly OpenBreaker[] {
    return this.#faults.openBreakers
  }

  /** Rises when an outage begins or ends, or reaches another topic. */
  get outagesVersion(): number {
    return this.#faults.version
  }

  /** All that is out of reach now, for operators. */
  outages(): readonly NotedOutage[] {
    return this.#faults.outages()
  }

  /** Starts what may start now. Cheap when nothing may. */
  pump(): void {
    const { options, backlog, isTrusted } = this.#parts
    const isFull = (route: string): boolean => this.#isFull(route)
    while (this.#mayStart() && this.#faults.mayGo && isTrusted()) {
      const batch = backlog.take(options.batchSize, options.maxBatchBytes, isFull)
      if (batch.length === 0) break
      this.#faults.sent()
      void this.#publish(batch, null)
    }
    this.#wakeAfterPause()
  }

  /** Destinations to be tried now: read messages of their topics for `probe`. */
  startProbes(): readonly Probe[] {
    this.#isProbeAsked = false
    return this.#mayStart() ? this.#faults.startProbes() : []
  }

  /** Tries the destination with the messages, beside all others. Without any, nothing waits for it: it counts as well. */
  probe(destination: string, samples: readonly BufferedMessage[]): void {
    const { backlog, isTrusted, options } = this.#parts
    const isReady = this.#mayStart() && isTrusted()
    // Suspects are tried alone, however many may be together.
    const tried = samples.some(isSuspect) ? samples.slice(0, 1) : samples
    const batch = isReady ? backlog.takeProbe(tried, options.maxBufferedBytes) : []
    backlog.endAsking()
    if (batch.length > 0) void this.#publish(batch, destination)
    else if (samples.length === 0) this.#faults.nothingWaits(destination)
    else this.#faults.withdrawn(destination)
    this.#wakeAfterPause()
  }

  /** Starts nothing any more. Resolves when nothing is in flight. */
  stop(): Promise<void> {
    this.#isStopped = true
    this.#faults.stop()
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

  /** All places of the route are taken: not by a probe, nor by a publish that hangs. */
  #isFull(route: string): boolean {
    let places = this.#parts.options.routes.concurrencyOf(route)
    for (const flight of this.#flights) if (flight.route === route && flight.probed === null && !flight.isSlow) places--
    return places <= 0
  }

  async #publish(items: readonly BufferedMessage[], probed: string | null): Promise<void> {
    const { onProgress, options, backlog } = this.#parts
    const route = options.routes.of(items[0]?.message.topic ?? '')
    const flight: Flight = {
      items,
      topics: topicsOf(items),
      route,
      controller: new AbortController(),
      startMs: options.clock.monotonicMs(),
      probed,
      passesAtStart: this.#faults.passesOf(route),
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
    for (const topic of flight.topics) {
      if (flight.isSlow && backlog.resume(topic, slow)) this.#parts.onReadable()
      if (!flight.isSlow && flight.topics.size === 1) backlog.mix(topic)
    }
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
    const judgement = await this.#judgementOf(flight)
    if (judgement.accepted.length > 0) this.#parts.settler.published(judgement.accepted)
    this.#end(flight, judgement)
  }

  async #judgementOf(flight: Flight): Promise<Judgement> {
    const { report, clock } = this.#parts.options
    try {
      const judgement = this.#faults.answered(flight, await this.#call(flight))
      const [messages, ms] = [judgement.accepted.length, clock.monotonicMs() - flight.startMs]
      report({ type: 'batch.published', messages, failed: flight.items.length - messages, ms })
      return judgement
    } catch (error) {
      return this.#faults.rejected(flight, error)
    }
  }

  /** Publishes suspects while nothing else is in flight: should the process die now, it was one of them. */
  async #try(flight: Flight): Promise<void> {
    const { options, backlog, isTrusted, trial } = this.#parts
    const [first] = flight.items
    if (first?.diedAlone === true && first.message.attempt > options.maxAttempts) {
      this.#faults.withdrawn(flight.probed)
      return this.#end(flight, { paying: [{ message: first, failure: poison }], returned: [] })
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
      this.#faults.withdrawn(flight.probed)
      this.#end(flight, { paying: [], returned: flight.items })
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

  /** Decides who comes again and who is dead, and gives the batch back before anything behind it can be sent. */
  #end({ items }: Flight, { paying, returned }: Omit<Judgement, 'accepted'>): void {
    const { options, settler, backlog } = this.#parts
    backlog.end(items, { failed: paying.map(({ message }) => message), returned })
    const retries: Retry[] = []
    const burials: Burial[] = []
    for (const one of paying) {
      const { message, failure } = one
      const isDead = failure.kind === 'permanent' || message.message.attempt >= options.maxAttempts
      if (isDead) {
        const reason = failure === poison ? 'POISON' : failure.kind === 'permanent' ? 'PERMANENT' : 'MAX_ATTEMPTS'
        const isKeyHeld = message.stream !== null && options.afterDeadLetter(message.message.topic) === 'hold'
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
    const { backlog, options } = this.#parts
    const { clock } = options
    const { retryAtMs, isOut } = this.#faults
    if (this.#isStopped || retryAtMs === Number.POSITIVE_INFINITY) return // What is under way comes back here.
    const hasWork = isOut && this.#flights.size === 0 && backlog.waiting > 0
    const probeAtMs = this.#isProbeAsked ? Number.POSITIVE_INFINITY : this.#faults.nextProbeAtMs
    const atMs = Math.min(hasWork ? retryAtMs : Number.POSITIVE_INFINITY, Math.max(probeAtMs, retryAtMs))
    if (atMs === Number.POSITIVE_INFINITY) return
    this.#cancelTimer = clock.after(Math.max(1, atMs - clock.monotonicMs()), () => {
      if (this.#faults.nextProbeAtMs <= clock.monotonicMs()) {
        this.#isProbeAsked = true
        this.#parts.onProgress()
      }
      this.pump()
    })
  }
}
