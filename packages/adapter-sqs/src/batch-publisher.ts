import { type OutboxMessage, streamOf } from '@malote/outbox-core'
import type { PublishFailure, PublishOutageError, Publisher, PublishResult } from '@malote/outbox-core'
import {
  batchResults,
  type BatchResults,
  createKeyedQueue,
  createPublisher,
  predecessorFailed,
  tooLarge,
} from '@malote/outbox-core/adapter'
import { classifyEntry, classifyRequest, type EntryError, failureOfSingle, type RequestVerdict } from './classify.ts'
import { encodeMessage } from './encode.ts'
import { noDestination, outageOf, unanswered } from './failures.ts'
import { isFifo, type ResolvedBatchOptions } from './options.ts'
import { createSendPlan, type Outgoing, type SendPlan } from './send-plan.ts'

/** The one request that differs between SQS and SNS: at most ten messages to one destination. */
export type SendBatch = (request: readonly Outgoing[], signal: AbortSignal) => Promise<BatchAnswer>

export interface BatchAnswer {
  readonly Successful?: readonly { readonly Id?: string | undefined }[] | undefined
  readonly Failed?: readonly (EntryError & { readonly Id?: string | undefined })[] | undefined
}

export interface BatchPublisherParts {
  readonly name: string
  readonly destinationOf: (topic: string, orderingKey: string | null) => string | undefined
  /** Above it a message is refused for good: no destination of the service can be raised so far. @defaultValue `maxMessageBytes` */
  readonly permanentAboveBytes?: number
  readonly options: ResolvedBatchOptions
  readonly sendBatch: SendBatch
}

/** AWS takes this many messages in one request. */
const maxEntries = 10

/** Publishes through a service that takes batches of ten and answers for each entry. */
export function createBatchPublisher(parts: BatchPublisherParts): Publisher {
  const { name, options } = parts
  const requests = createKeyedQueue(options.concurrency)
  const sendBatch: SendBatch = (request, signal) => requests.run(null, () => parts.sendBatch(request, signal))
  return createPublisher({ name, publish: (batch, signal) => publishBatch({ ...parts, sendBatch }, batch, signal) })
}

async function publishBatch(
  parts: BatchPublisherParts,
  batch: readonly OutboxMessage[],
  signal: AbortSignal,
): Promise<readonly PublishResult[]> {
  const { maxBatchBytes, ordering } = parts.options
  const tally = batchResults(batch)
  const plan = createSendPlan(prepare(parts, batch, tally), {
    maxEntries,
    maxBatchBytes,
    isStrict: (destination) => ordering === 'strict' && isFifo(destination),
  })
  const away = await sendAll(parts, plan, tally, signal)
  if (away !== null && !tally.anyAccepted && !signal.aborted) throw away
  return tally.results()
}

/** Encodes what can go out; what cannot fails at once, and so does everything behind it in its key. */
function prepare(parts: BatchPublisherParts, batch: readonly OutboxMessage[], tally: BatchResults): Outgoing[] {
  const { source, maxMessageBytes, characters } = parts.options
  return batch.flatMap((message): Outgoing[] => {
    const line = streamOf(message)
    const destination = parts.destinationOf(message.topic, message.orderingKey)
    const encoded = encodeMessage(message, source, characters)
    if (tally.failIfBlocked(message)) return []
    if (destination === undefined) tally.fail(message, noDestination(message))
    else if (encoded.bytes > maxMessageBytes) tally.fail(message, tooLargeFor(encoded.bytes, parts))
    else return [{ message, encoded, destination, line }]
    return []
  })
}

function tooLargeFor(bytes: number, { options, permanentAboveBytes = 0 }: BatchPublisherParts): PublishFailure {
  const raise = 'raise maxMessageBytes where the destination takes more'
  const failure = tooLarge('the message with its attributes', bytes, options.maxMessageBytes, raise)
  return bytes > permanentAboveBytes ? failure : { ...failure, kind: 'retryable' }
}

/**
 * Sends what the plan allows until nothing is left or the signal aborts. A destination that refused a whole request, or gave no
 * answer, is not asked again; the others are.
 *
 * @returns why the first one that gave no answer gave none, or null
 */
async function sendAll(
  parts: BatchPublisherParts,
  plan: SendPlan,
  tally: BatchResults,
  signal: AbortSignal,
): Promise<PublishOutageError | null> {
  const running = new Set<Promise<void>>()
  const abort = whenAborted(signal)
  const unavailable = new Map<string, PublishFailure>()
  let outage: PublishOutageError | null = null

  function refused(request: readonly Outgoing[], destination: string, error: unknown): void {
    const verdict = classifyRequest(error, destination)
    if (verdict.kind === 'split' && request.length > 1) return plan.separate(request)
    const failure = failureOfRequest(verdict, destination, error, parts.name)
    if (verdict.kind === 'outage') outage ??= outageOf(parts.name, error)
    if (failure.kind === 'unavailable') unavailable.set(destination, failure)
    failAll(plan, tally, request, failure)
  }

  async function send(request: readonly Outgoing[], destination: string): Promise<void> {
    try {
      const answer = await parts.sendBatch(request, signal)
      if (!signal.aborted) settleAnswer(plan, tally, request, answer)
    } catch (error) {
      if (!signal.aborted) refused(request, destination, error)
    }
  }

  while (!signal.aborted) {
    while (running.size < parts.options.concurrency) {
      const request = plan.take()
      const [first] = request
      if (first === undefined) break
      const known = unavailable.get(first.destination)
      if (known !== undefined) {
        failAll(plan, tally, request, known)
        continue
      }
      const sending: Promise<void> = send(request, first.destination).finally(() => running.delete(sending))
      running.add(sending)
    }
    if (running.size === 0) break
    await Promise.race([...running, abort.promise])
  }
  abort.dispose()
  return outage
}

function failureOfRequest(verdict: RequestVerdict, destination: string, error: unknown, name: string): PublishFailure {
  if (verdict.kind === 'outage') return unanswered(destination, outageOf(name, error))
  return verdict.kind === 'failure' ? verdict.failure : failureOfSingle(error)
}

/** A message counts as accepted only when the answer names it among the successful ones. */
function settleAnswer(plan: SendPlan, tally: BatchResults, request: readonly Outgoing[], answer: BatchAnswer): void {
  const successful = new Set(answer.Successful?.map((entry) => entry.Id))
  const failed = new Map(answer.Failed?.map((entry) => [entry.Id, entry]))
  request.forEach((one, index) => {
    const id = String(index)
    const { accepted, behind } = plan.settle(one, successful.has(id))
    if (accepted) tally.accept(one.message)
    else if (successful.has(id)) tally.fail(one.message, predecessorFailed)
    else tally.fail(one.message, classifyEntry(failed.get(id) ?? {}, one.destination))
    for (const { message } of behind) tally.fail(message, predecessorFailed)
  })
}

function failAll(plan: SendPlan, tally: BatchResults, request: readonly Outgoing[], failure: PublishFailure): void {
  for (const one of request) {
    const { behind } = plan.settle(one, false)
    tally.fail(one.message, failure)
    for (const { message } of behind) tally.fail(message, predecessorFailed)
  }
}

function whenAborted(signal: AbortSignal): { readonly promise: Promise<void>; dispose(): void } {
  let dispose = (): void => {}
  const promise = new Promise<void>((resolve) => {
    const listener = (): void => resolve()
    signal.addEventListener('abort', listener, { once: true })
    dispose = () => signal.removeEventListener('abort', listener)
  })
  return { promise, dispose }
}
