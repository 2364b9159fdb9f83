import assert from 'node:assert/strict'
import { eventually } from '../eventually.ts'
import type { OutboxMessage } from '../../message.ts'
import type { PublishFailure, PublishResult, Publisher } from '../../publisher.ts'
import type { PublishedRecord, PublisherHarness } from './harness.ts'
import { systemClock } from '../../clock.ts'
import { patience } from '../patience.ts'

/** Steps the cases share. Every wait has an end: a kit that hangs names no culprit. */

export async function withPublisher(
  harness: PublisherHarness,
  work: (publisher: Publisher) => Promise<void>,
): Promise<void> {
  const publisher = await harness.createPublisher()
  try {
    await work(publisher)
  } finally {
    await within(harness.patienceMs, 'close()', publisher.close())
  }
}

/** Like a relay, it aborts what takes too long: what is sent again must not stand behind it. */
export async function publish(
  harness: PublisherHarness,
  publisher: Publisher,
  batch: readonly OutboxMessage[],
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, PublishResult>> {
  const tooLong = new AbortController()
  try {
    const publishing = publisher.publish(batch, signal ?? tooLong.signal)
    const results = await within(harness.patienceMs * 2, 'publish()', publishing)
    return byId(batch, results)
  } catch (error) {
    tooLong.abort(error)
    throw error
  }
}

/**
 * Exactly one result for each message, and each as the contract words it.
 *
 * @param answer - what `publish` resolved with: it may be anything, whatever its type says
 */
export function byId(batch: readonly OutboxMessage[], answer: unknown): ReadonlyMap<string, PublishResult> {
  assert.ok(Array.isArray(answer), 'publish() resolves with an array')
  const results = answer as Partial<PublishResult>[]
  assert.equal(results.length, batch.length, 'as many results as messages')
  const map = new Map<string, PublishResult>()
  for (const result of results) {
    assert.ok(typeof result === 'object' && result !== null, 'a result is an object')
    assert.ok(result.status === 'accepted' || result.status === 'failed', 'its status is "accepted" or "failed"')
    if (result.status === 'failed') assertFailure(result.failure)
    map.set(String(result.id), result as PublishResult)
  }
  for (const message of batch) assert.ok(map.has(message.id), `a result for message ${message.id}`)
  return map
}

/** Whoever stores or shows a failure relies on each of these. */
function assertFailure(failure: unknown): void {
  assert.ok(typeof failure === 'object' && failure !== null, 'a failure is an object')
  const { kind, code, message, destination, retryAfterMs } = failure as Record<string, unknown>
  assert.ok(['retryable', 'permanent', 'unavailable'].includes(kind as string), 'its kind is one of the contract')
  assertText('code', code)
  assertText('message', message)
  if (kind === 'unavailable') assertText('destination', destination)
  const isPause = retryAfterMs === undefined || (Number.isFinite(retryAfterMs) && (retryAfterMs as number) >= 0)
  assert.ok(isPause, 'its retryAfterMs is a number of milliseconds')
}

function assertText(name: string, text: unknown): void {
  const isStorable = typeof text === 'string' && !text.includes('\0') && text.isWellFormed()
  assert.ok(isStorable && text !== '', `the failure's ${name} is text that can be stored`)
}

export function assertAllAccepted(results: ReadonlyMap<string, PublishResult>): void {
  const failures = [...results.values()].flatMap((result) => (result.status === 'failed' ? [result.failure] : []))
  assert.equal(failures.length, 0, `all accepted, but ${String(failures.length)} failed: ${describe(failures[0])}`)
}

/** Why the message failed. Fails the case when it was accepted or has no result. */
export function failureOf(results: ReadonlyMap<string, PublishResult>, message: OutboxMessage): PublishFailure {
  const result = results.get(message.id)
  assert.equal(result?.status, 'failed', `message ${message.id} is not accepted`)
  return result.failure
}

export const isAccepted = (results: ReadonlyMap<string, PublishResult>, message: OutboxMessage): boolean =>
  results.get(message.id)?.status === 'accepted'

/** What a relay does: again after a rejection or a retryable failure, until everything is accepted. */
export async function publishUntilAccepted(
  harness: PublisherHarness,
  publisher: Publisher,
  batch: readonly OutboxMessage[],
): Promise<void> {
  let left = batch
  await eventually(
    async () => {
      const results = await publish(harness, publisher, left)
      left = left.filter((message) => !isAccepted(results, message))
      const failures = left.map((message) => failureOf(results, message))
      for (const { kind } of failures) assert.notEqual(kind, 'permanent')
      assert.equal(left.length, 0, `${String(left.length)} messages still not accepted: ${describe(failures[0])}`)
    },
    { patienceMs: harness.patienceMs, intervalMs: 100 },
  )
}

/** A rejection is the contract's word for "the broker is away"; results that all failed for now say the same. */
export async function assertOutage(
  harness: PublisherHarness,
  publisher: Publisher,
  batch: readonly OutboxMessage[],
): Promise<void> {
  const outcome = await within(
    harness.patienceMs,
    'publish() while the broker is away',
    publisher.publish(batch, new AbortController().signal).catch((error: unknown) => ({ error })),
  )
  assert.ok('error' in outcome, 'publish() rejects while the whole broker is away, so that no attempts are spent')
}

export const idsOf = (records: readonly PublishedRecord[]): string[] => records.map((record) => record.message.id)

/** Distinct ids in the order of their first appearance: a repeated publish is a duplicate, not a disorder. */
const firstIdsOf = (records: readonly PublishedRecord[]): string[] => [...new Set(idsOf(records))]

/** What arrived first and once: in the order it was given where the destination keeps it, in any order where it promises none. */
export function assertArrived(
  { keepsOrder }: PublisherHarness,
  records: readonly PublishedRecord[],
  given: readonly string[],
  message?: string,
): void {
  const inOrder = (ids: readonly string[]): readonly string[] => (keepsOrder === true ? ids : ids.toSorted())
  assert.deepEqual(inOrder(firstIdsOf(records)), inOrder(given), message)
}

export function bytesOf(body: Uint8Array | string): Uint8Array {
  return typeof body === 'string' ? new TextEncoder().encode(body) : new Uint8Array(body)
}

/** @param quietMs - on a machine that has nothing else to do: see `MALOTE_PATIENCE` */
export async function within<Result>(quietMs: number, what: string, work: Promise<Result>): Promise<Result> {
  const ms = Math.round(quietMs * patience())
  const late = Promise.withResolvers<never>()
  const cancel = systemClock.after(ms, () =>
    late.reject(new assert.AssertionError({ message: `${what} took over ${String(ms)} ms` })),
  )
  try {
    return await Promise.race([work, late.promise])
  } finally {
    cancel()
  }
}

function describe(failure: PublishFailure | undefined): string {
  return failure === undefined ? '' : `${failure.kind} ${failure.code}: ${failure.message}`
}
