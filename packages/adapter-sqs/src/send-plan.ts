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
  const lines = linesOf(messages)
  /** Lines of each destination that may send now; the next one is last. */
  const ready = new Map<string, Line[]>()
  const alone = new Set<Outgoing>()
  for (const one of messages) makeReady(one)

  function makeReady(one: Outgoing): void {
    const line = lines.get(lineName(one)) as Line
    const waiting = ready.get(one.destination) ?? []
    ready.set(one.destination, waiting)
    if (line.waiting.length === 0 || (line.ordered && line.inFlight > 0) || waiting.includes(line)) return
    waiting.unshift(line)
  }

  function fill(destination: string, lines: Line[]): Outgoing[] {
    const request: Outgoing[] = []
    let roomBytes = options.maxBatchBytes
    for (;;) {
      const line = lines.at(-1)
      const one = line?.waiting.at(-1)
      if (line === undefined || one === undefined || request.length === options.maxEntries) break
      if (request.length > 0 && (one.encoded.bytes > roomBytes || alone.has(one))) break
      line.waiting.pop()
      line.inFlight++
      request.push(one)
      roomBytes = alone.has(one) ? 0 : roomBytes - one.encoded.bytes
      if (line.waiting.length === 0 || (line.ordered && options.isStrict(destination))) lines.pop()
    }
    const last = lines.at(-1)
    if (last !== undefined && last.ordered && last.inFlight > 0) lines.pop()
    return request
  }

  return {
    take: () => {
      for (const [destination, lines] of ready) {
        if (lines.length === 0) continue
        ready.delete(destination)
        ready.set(destination, lines) // The next request goes to another destination.
        return fill(destination, lines)
      }
      return []
    },
    settle: (one, accepted) => {
      const line = lines.get(lineName(one)) as Line
      line.inFlight--
      if (!line.ordered) return { accepted, behind: [] }
      const counts = accepted && !line.failed
      line.failed ||= !accepted
      const behind = line.failed ? line.waiting.splice(0).toReversed() : []
      makeReady(one)
      return { accepted: counts, behind }
    },
    separate: (request) => {
      for (const one of request.toReversed()) {
        const line = lines.get(lineName(one)) as Line
        alone.add(one)
        line.inFlight--
        line.waiting.push(one)
      }
      request.forEach(makeReady)
    },
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
