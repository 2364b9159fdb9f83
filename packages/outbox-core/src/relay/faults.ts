import type { DestinationFailure, PublishResult } from '../publisher.ts'
import { accuse } from './accuse.ts'
import type { Backlog } from './backlog.ts'
import { Breakers, type OpenBreaker } from './breakers.ts'
import type { BufferedMessage } from './buffered-message.ts'
import { type Flight, topicsOf } from './flight.ts'
import { wordsOf } from './foreign-input.ts'
import type { NotedOutage } from '../postgres/membership.ts'
import { type FailedMessage, judge, type Outcome } from './outcome.ts'
import { Outage } from './outage.ts'
import type { ResolvedRelayOptions } from './resolved-options.ts'
import { onlyRoute } from './routes.ts'

export interface FaultsParts {
  readonly options: Pick<ResolvedRelayOptions, 'clock' | 'report' | 'outageBackoff' | 'destinationBackoff'>
  readonly backlog: Backlog
  /** Topics go on: the table has something for us. */
  readonly onReadable: () => void
}

/** Who pays for what became of a batch. */
export interface Judgement {
  readonly accepted: readonly BufferedMessage[]
  /** They are at fault themselves. */
  readonly paying: readonly FailedMessage[]
  /** Not accepted, and nobody pays. */
  readonly returned: readonly BufferedMessage[]
}

/** A destination to be tried now, with messages of these topics. */
export interface Probe {
  readonly destination: string
  readonly topics: readonly string[]
}

/** Why a topic is suspended. */
const unavailableAt = (destination: string): string => `unavailable ${destination}`

/**
 * Tells who is at fault when something is not accepted: the message (it pays an attempt), the destination (its topics are
 * suspended until a probe gets through), a route (likewise) or the broker (everything pauses).
 *
 * Opens and closes whatever keeps messages back for it. Says nothing about when to send: see dispatcher.ts.
 */
export class Faults {
  readonly #parts: FaultsParts
  readonly #outage: Outage
  readonly #breakers: Breakers
  readonly #passesOfRoute = new Map<string, number>()
  readonly #passesOfTopic = new Map<string, number>()
  #lastOutage: Omit<NotedOutage, 'ageMs'> = { destination: '', topics: [], code: '', message: '' }

  #isStopped = false

  constructor(parts: FaultsParts) {
    this.#parts = parts
    this.#outage = new Outage(parts.options.outageBackoff)
    this.#breakers = new Breakers(parts.options.destinationBackoff)
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
  get version(): number {
    return this.#breakers.version + this.#outage.version
  }

  /** All that is out of reach now, for operators. */
  outages(): readonly NotedOutage[] {
    const nowMs = this.#nowMs
    const noted: NotedOutage[] = this.#breakers.list().map(({ destination, topics, sinceMs, failure }) => {
      const { code, message } = failure
      return { destination, topics: [...topics], ageMs: nowMs - sinceMs, code, message }
    })
    if (this.#outage.isOpen) noted.push({ ...this.#lastOutage, ageMs: this.#outage.ageMs(nowMs) })
    return noted
  }

  /** Batches of the route that have passed so far. */
  passesOf(route: string): number {
    return this.#passesOfRoute.get(route) ?? 0
  }

  /** Whether the broker may be sent something: it is there, or it is time to see. */
  get mayGo(): boolean {
    return this.#outage.mayGo(this.#nowMs)
  }

  /** What fails from now on may be the relay's own doing: nobody is blamed. */
  stop(): void {
    this.#isStopped = true
  }

  /** Something was sent. */
  sent(): void {
    this.#outage.sent()
  }

  /** What was to be sent was not sent after all. */
  withdrawn(probed: string | null): void {
    this.#outage.withdrawn()
    if (probed !== null) this.#breakers.probeFailed(probed, this.#nowMs)
  }

  /** When the broker may be tried again, also by a probe of a destination; Infinity while something is under way that will tell. */
  get retryAtMs(): number {
    if (!this.#outage.isOpen) return 0
    return this.#outage.mayGo(this.#outage.retryAtMs) ? this.#outage.retryAtMs : Number.POSITIVE_INFINITY
  }

  /** When a destination is to be tried; Infinity while there is none, or all are being tried. */
  get nextProbeAtMs(): number {
    return this.#breakers.nextProbeAtMs
  }

  /** Destinations to be tried now. Each counts as being tried until `answered`, `rejected`, `withdrawn` or `nothingWaits`. */
  startProbes(): readonly Probe[] {
    const { backlog } = this.#parts
    if (!this.mayGo) return []
    // One at a time: each needs a query of its own, which keeps whatever is to be read waiting.
    const started = this.#breakers.startProbes(this.#nowMs, 1)
    const probes: Probe[] = []
    for (const { destination, topics } of started) {
      const goingOn = [...topics].filter((topic) => !backlog.isPaused(topic))
      if (goingOn.length > 0) probes.push({ destination, topics: goingOn })
      else this.#breakers.probeFailed(destination, this.#nowMs) // Nobody knows whether it is back while all of it is paused.
    }
    if (probes.length > 0) this.#outage.sent()
    return probes
  }

  /** There is nothing to try the destination with, so nothing is kept back either. */
  nothingWaits(destination: string): void {
    this.#outage.withdrawn()
    this.#close(destination)
  }

  /** The publisher answered. */
  answered(flight: Flight, results: readonly PublishResult[]): Judgement {
    const outcome = judge(flight.items, results)
    const { accepted, behind } = outcome
    const { paying, unavailable, unanswered, words } = sort(outcome, flight.controller.signal.aborted)
    if (unanswered.length > 0 && accepted.length === 0 && unavailable.length === 0)
      return this.rejected(flight, new Error(words), paying)
    this.#passed(flight, accepted)
    for (const { message, failure } of unavailable) this.#open(failure as DestinationFailure, message)
    // Something got through, so the broker is there: it is these messages' destinations that do not answer.
    for (const { message } of unanswered) this.#open(unansweredBy(message, words), message)
    this.#judgeProbe(flight, outcome, unavailable, unanswered.length > 0)
    const held = [...unavailable, ...unanswered].map(({ message }) => message)
    return { accepted, paying, returned: [...held, ...behind] }
  }

  /** The publisher rejected the batch as a whole, or nothing at all was heard of it, but of those who pay anyway. */
  rejected(flight: Flight, error: unknown, paying: readonly FailedMessage[] = []): Judgement {
    const { route, probed, passesAtStart } = flight
    const items = flight.items.filter((item) => !paying.some(({ message }) => message === item))
    if (probed !== null) this.#breakers.probeFailed(probed, this.#nowMs)
    const returned: Judgement = { accepted: [], paying, returned: items }
    if (this.#isStopped) return returned
    const verdict = accuse(items, passesAtStart, {
      all: this.passesOf(route),
      of: (topic) => this.#passesOfTopic.get(topic) ?? 0,
      outages: this.#parts.backlog.outages,
    })
    if (verdict === 'broker' && route === onlyRoute) {
      this.#pause(error)
      return returned
    }
    this.#outage.withdrawn()
    const [message] = items
    if (verdict === 'message' && message !== undefined) {
      const failure = { kind: 'retryable' as const, code: 'REJECTED', message: wordsOf(error), cause: error }
      return { ...returned, paying: [...paying, { message, failure }], returned: [] }
    }
    if (verdict === 'broker') for (const item of items) this.#open(rejectedBy(route, error), item)
    // One that hangs while others get through is not searched for a culprit, at a timeout for each piece.
    else if (verdict === 'destination' || flight.isSlow)
      for (const item of items) this.#open(unansweredBy(item, wordsOf(error)), item)
    return returned
  }

  get #nowMs(): number {
    return this.#parts.options.clock.monotonicMs()
  }

  #pause(error: unknown): void {
    const retryInMs = this.#outage.rejected(this.#nowMs)
    this.#lastOutage = { destination: '', topics: [], code: 'REJECTED', message: wordsOf(error) }
    if (retryInMs !== null) this.#parts.options.report({ type: 'outage.started', error, retryInMs })
  }

  /** The broker is there. */
  #passed({ topics, route }: Flight, accepted: readonly BufferedMessage[]): void {
    this.#passesOfRoute.set(route, this.passesOf(route) + 1)
    const acceptedTopics = topics.size === 1 && accepted.length > 0 ? topics : topicsOf(accepted)
    for (const topic of acceptedTopics) this.#passesOfTopic.set(topic, (this.#passesOfTopic.get(topic) ?? 0) + 1)
    const endedAfterMs = this.#outage.answered(this.#nowMs)
    if (endedAfterMs === null) return
    this.#parts.backlog.outageEnded()
    this.#parts.options.report({ type: 'outage.ended', ms: endedAfterMs })
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
    else this.#breakers.probeFailed(probed, this.#nowMs)
  }

  #open(failure: DestinationFailure, { message: { topic } }: BufferedMessage): void {
    const { destination, code, message, cause } = failure
    const retryInMs = this.#breakers.fail(failure, topic, this.#nowMs)
    this.#parts.backlog.suspend(topic, unavailableAt(destination))
    if (retryInMs === null) return
    const error = new Error(`${code}: ${message}`, { cause })
    this.#parts.options.report({ type: 'outage.started', destination, error, retryInMs })
  }

  #close(destination: string): void {
    const { options, backlog, onReadable } = this.#parts
    const topics = this.#breakers.topicsOf(destination)
    const ms = this.#breakers.close(destination, this.#nowMs)
    if (ms === null) return
    backlog.outageEnded()
    options.report({ type: 'outage.ended', destination, ms })
    for (const topic of topics) if (backlog.resume(topic, unavailableAt(destination))) onReadable()
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

function rejectedBy(route: string, error: unknown): DestinationFailure {
  return {
    kind: 'unavailable',
    destination: `route "${route}"`,
    code: 'REJECTED',
    message: wordsOf(error),
    cause: error,
  }
}
