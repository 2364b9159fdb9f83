import type { OutboxMessage } from '@malote/outbox-core'
import type { EncodedMessage } from './encode.ts'

/** A message on its way to one destination. */
export interface Outgoing {
  readonly message: OutboxMessage
  readonly encoded: EncodedMessage
  readonly destination: string
  /** Messages with the same line are sent one request after the other; null waits for nobody. */
  readonly line: string | null
}

export interface SendPlanOptions {
  readonly maxEntries: number
  readonly maxBatchBytes: number
  /** One message of a line in a request, because the destination takes or refuses each on its own. */
  readonly isStrict: (destination: string) => boolean
}

/** What may be sent now, so that no message overtakes one of its line. Pure: knows neither AWS nor time. */
export interface SendPlan {
  /** The next request, all to one destination; empty when nothing may be sent before something settles. */
  take(): readonly Outgoing[]
  /**
   * Says what became of a sent message. Tell in the order of the request.
   *
   * @returns whether it counts as accepted (not when one before it in its line failed), and what is behind it and never sent
   */
  settle(one: Outgoing, accepted: boolean): { readonly accepted: boolean; readonly behind: readonly Outgoing[] }
  /** Puts a request back, to be sent as requests of one message each. */
  separate(request: readonly Outgoing[]): void
}

interface Line {
  readonly ordered: boolean
  /** Last first: taken from the end, which costs nothing. */
  readonly waiting: Outgoing[]
  inFlight: number
  failed: boolean
}

/** @param messages - in the order they are to arrive */
export function createSendPlan(messages: readonly Outgoing[], options: SendPlanOptions): SendPlan {
  return new SqsSendPlan(messages, options)
}

class SqsSendPlan implements SendPlan {
  readonly #options: SendPlanOptions
  readonly #lines: ReadonlyMap<string, Line>
  /** Lines of each destination that may send now; the next one is last. */
  readonly #ready = new Map<string, Line[]>()
  readonly #alone = new Set<Outgoing>()

  constructor(messages: readonly Outgoing[], options: SendPlanOptions) {
    this.#options = options
    this.#lines = linesOf(messages)
    for (const one of messages) this.#makeReady(one)
  }

  take(): readonly Outgoing[] {
    for (const [destination, lines] of this.#ready) {
      if (lines.length === 0) continue
      this.#ready.delete(destination)
      this.#ready.set(destination, lines) // The next request goes to another destination.
      return this.#fill(destination, lines)
    }
    return []
  }

  settle(one: Outgoing, accepted: boolean): { readonly accepted: boolean; readonly behind: readonly Outgoing[] } {
    const line = this.#lineOf(one)
    line.inFlight--
    if (!line.ordered) return { accepted, behind: [] }
    const counts = accepted && !line.failed
    line.failed ||= !accepted
    const behind = line.failed ? line.waiting.splice(0).toReversed() : []
    this.#makeReady(one)
    return { accepted: counts, behind }
  }

  separate(request: readonly Outgoing[]): void {
    for (const one of request.toReversed()) {
      const line = this.#lineOf(one)
      this.#alone.add(one)
      line.inFlight--
      line.waiting.push(one)
    }
    for (const one of request) this.#makeReady(one)
  }

  #makeReady(one: Outgoing): void {
    const line = this.#lineOf(one)
    const waiting = this.#ready.get(one.destination) ?? []
    this.#ready.set(one.destination, waiting)
    if (line.waiting.length === 0 || (line.ordered && line.inFlight > 0) || waiting.includes(line)) return
    waiting.unshift(line)
  }

  #fill(destination: string, lines: Line[]): Outgoing[] {
    const request: Outgoing[] = []
    let roomBytes = this.#options.maxBatchBytes
    for (;;) {
      const line = lines.at(-1)
      const one = line?.waiting.at(-1)
      if (line === undefined || one === undefined || request.length === this.#options.maxEntries) break
      if (request.length > 0 && (one.encoded.bytes > roomBytes || this.#alone.has(one))) break
      line.waiting.pop()
      line.inFlight++
      request.push(one)
      roomBytes = this.#alone.has(one) ? 0 : roomBytes - one.encoded.bytes
      if (line.waiting.length === 0 || (line.ordered && this.#options.isStrict(destination))) lines.pop()
    }
    const last = lines.at(-1)
    if (last !== undefined && last.ordered && last.inFlight > 0) lines.pop()
    return request
  }

  #lineOf(one: Outgoing): Line {
    return this.#lines.get(lineName(one)) as Line
  }
}

function linesOf(messages: readonly Outgoing[]): Map<string, Line> {
  const lines = new Map<string, Line>()
  for (const one of messages.toReversed()) {
    const line = lines.get(lineName(one))
    if (line !== undefined) line.waiting.push(one)
    else lines.set(lineName(one), { ordered: one.line !== null, waiting: [one], inFlight: 0, failed: false })
  }
  return lines
}

function lineName(one: Outgoing): string {
  return one.line === null ? one.destination : `${one.destination}\n${one.line}`
}
