import { OutboxError, type OutboxMessage, orderOf, PublishOutageError } from '@malote/outbox-core'
import type { PublishFailure, Publisher, PublishResult } from '@malote/outbox-core'
import { createKeyedQueue } from '@malote/outbox-core/adapter'
import { classifyEntry, classifyRequest, describeError, type EntryError, failureOfSingle } from './classify.ts'
import { encodeMessage } from './encode.ts'
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
  readonly destinationOf: (topic: string) => string | undefined
  readonly options: ResolvedBatchOptions
  readonly sendBatch: SendBatch
}

const maxEntries = 10

type WithinConcurrency = <Result>(task: () => Promise<Result>) => Promise<Result>

/** Publishes through a service that takes batches of ten and answers for each entry. */
export function createBatchPublisher(parts: BatchPublisherParts): Publisher {
  const requests = createKeyedQueue(parts.options.concurrency)
  const publishing = new Set<Promise<unknown>>()
  let closed = false
  return {
    name: parts.name,
    publish: async (batch, signal) => {
      if (closed) throw new OutboxError('PUBLISHER_CLOSED', `the ${parts.name} publisher is closed`)
      const work = publishBatch(parts, batch, signal, (task) => requests.run(null, task))
      publishing.add(work)
      return await work.finally(() => publishing.delete(work))
    },
    close: async () => {
      closed = true
      await Promise.allSettled(publishing)
    },
  }
}

async function publishBatch(
  parts: BatchPublisherParts,
  batch: readonly OutboxMessage[],
  signal: AbortSignal,
  withinConcurrency: WithinConcurrency,
): Promise<readonly PublishResult[]> {
  const results = new Map<OutboxMessage, PublishFailure | 'accepted'>()
  const outgoing = prepare(parts, batch, results)
  const plan = createSendPlan(outgoing, {
    maxEntries,
    maxBatchBytes: parts.options.maxBatchBytes,
    isStrict: (destination) => parts.options.fifoBatching === 'strict' && isFifo(destination),
  })
  const outage = await sendAll(parts, plan, results, signal, withinConcurrency)

  const anyAccepted = [...results.values()].includes('accepted')
  if (outage !== null && !anyAccepted) throw outage
  const unknown = outage === null ? aborted : { ...outageFailure, message: outage.message, cause: outage.cause }
  return batch.map((message) => resultOf(message, results.get(message) ?? unknown))
}

/** Sends what the plan allows until nothing is left, the signal aborts or the service is away, which is returned. */
async function sendAll(
  parts: BatchPublisherParts,
  plan: SendPlan,
  results: Map<OutboxMessage, PublishFailure | 'accepted'>,
  signal: AbortSignal,
  withinConcurrency: WithinConcurrency,
): Promise<PublishOutageError | null> {
  const running = new Set<Promise<void>>()
  const abort = whenAborted(signal)
  let outage: PublishOutageError | null = null

  async function send(request: readonly Outgoing[]): Promise<void> {
    try {
      const answer = await withinConcurrency(() => parts.sendBatch(request, signal))
      if (!signal.aborted) settleAnswer(plan, results, request, answer)
    } catch (error) {
      if (signal.aborted) return
      if (!settleRejection(plan, results, request, error)) outage ??= outageOf(parts.name, error)
    }
  }

  while (!signal.aborted) {
    while (outage === null && running.size < parts.options.concurrency) {
      const request = plan.take()
      if (request.length === 0) break
      const sending: Promise<void> = send(request).finally(() => running.delete(sending))
      running.add(sending)
    }
    if (running.size === 0) break
    await Promise.race([...running, abort.promise])
  }
  abort.dispose()
  return outage
}

/** Encodes what can go out; what cannot has its result at once, and so has everything behind it in its key. */
function prepare(
  parts: BatchPublisherParts,
  batch: readonly OutboxMessage[],
  results: Map<OutboxMessage, PublishFailure | 'accepted'>,
): Outgoing[] {
  const stopped = new Set<string>()
  return batch.flatMap((message): Outgoing[] => {
    const line = orderOf(message)
    const destination = parts.destinationOf(message.topic)
    const encoded = encodeMessage(message, parts.options.source)
    const refusal =
      line !== null && stopped.has(line)
        ? behindFailure
        : destination === undefined
          ? noDestination(message)
          : encoded.bytes > parts.options.maxMessageBytes
            ? tooLarge(message, encoded.bytes, parts.options.maxMessageBytes)
            : null
    if (refusal === null) return [{ message, encoded, destination: destination as string, line }]
    results.set(message, refusal)
    if (line !== null) stopped.add(line)
    return []
  })
}

/** A message counts as accepted only when the answer names it among the successful ones. */
function settleAnswer(
  plan: SendPlan,
  results: Map<OutboxMessage, PublishFailure | 'accepted'>,
  request: readonly Outgoing[],
  answer: BatchAnswer,
): void {
  const successful = new Set(answer.Successful?.map((entry) => entry.Id))
  const failed = new Map(answer.Failed?.map((entry) => [entry.Id, entry]))
  request.forEach((one, index) => {
    const accepted = successful.has(String(index))
    settleOne(plan, results, one, accepted ? 'accepted' : classifyEntry(failed.get(String(index)) ?? {}))
  })
}

/** @returns false when the service is away and nothing is known of the request */
function settleRejection(
  plan: SendPlan,
  results: Map<OutboxMessage, PublishFailure | 'accepted'>,
  request: readonly Outgoing[],
  error: unknown,
): boolean {
  const verdict = classifyRequest(error)
  if (verdict.kind === 'outage') return false
  if (verdict.kind === 'split' && request.length > 1) plan.separate(request)
  else {
    const failure = verdict.kind === 'failure' ? verdict.failure : failureOfSingle(error)
    for (const one of request) settleOne(plan, results, one, failure)
  }
  return true
}

function settleOne(
  plan: SendPlan,
  results: Map<OutboxMessage, PublishFailure | 'accepted'>,
  one: Outgoing,
  result: PublishFailure | 'accepted',
): void {
  const { accepted, behind } = plan.settle(one, result === 'accepted')
  results.set(one.message, accepted ? 'accepted' : result === 'accepted' ? behindFailure : result)
  for (const { message } of behind) results.set(message, behindFailure)
}

const aborted: PublishFailure = { kind: 'retryable', code: 'ABORTED', message: 'the publish was aborted' }

/** Told only when part of the batch was accepted before the service went away; otherwise `publish` rejects. */
const outageFailure: PublishFailure = { kind: 'retryable', code: 'OUTAGE', message: '' }

const behindFailure: PublishFailure = {
  kind: 'retryable',
  code: 'BEHIND_FAILED',
  message: 'an earlier message of its ordering key was not accepted',
}

function noDestination(message: OutboxMessage): PublishFailure {
  return {
    kind: 'retryable',
    code: 'NO_DESTINATION',
    message: `no destination is configured for topic "${message.topic}"`,
  }
}

function tooLarge(message: OutboxMessage, bytes: number, maxBytes: number): PublishFailure {
  return {
    kind: 'permanent',
    code: 'TOO_LARGE',
    message:
      `message ${message.id} has ${String(bytes)} bytes with its attributes, the limit is ${String(maxBytes)}: ` +
      'store the payload elsewhere and send a reference',
  }
}

function outageOf(name: string, error: unknown): PublishOutageError {
  const { name: code, message } = describeError(error)
  return new PublishOutageError(`${name} is out of reach: ${code}: ${message}`, { cause: error })
}

function resultOf(message: OutboxMessage, result: PublishFailure | 'accepted'): PublishResult {
  const { id } = message
  return result === 'accepted' ? { id, status: 'accepted' } : { id, status: 'failed', failure: result }
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
