import { anOutboxMessage } from '@malote/outbox-core/testing'
import type { OutboxMessage, Publisher, PublishResult } from '@malote/outbox-core'
import { describe, expect, it } from 'vitest'
import { type BatchAnswer, createBatchPublisher } from '../src/batch-publisher.ts'
import { resolveBatchOptions } from '../src/options.ts'
import type { Outgoing } from '../src/send-plan.ts'

/** What a server cannot be made to do on demand: answers that lack an entry, that never come, or that refuse a whole request. */
type Answer = (request: readonly Outgoing[], aborting?: AbortSignal) => Promise<BatchAnswer>

const publisherOn = (sendBatch: Answer): Publisher =>
  createBatchPublisher({
    name: 'test',
    destinationOf: (topic) => `${topic}.fifo`,
    options: resolveBatchOptions({ concurrency: 1 }, 1_048_576),
    sendBatch,
  })

const messages = (count: number, change: Partial<OutboxMessage> = {}): OutboxMessage[] =>
  Array.from({ length: count }, () => anOutboxMessage(change))

const accept: Answer = async (request) => ({ Successful: request.map((_, index) => ({ Id: String(index) })) })

const codes = (results: readonly PublishResult[]): string[] =>
  results.map((result) => (result.status === 'accepted' ? 'accepted' : result.failure.code))

const refusal = (name: string, httpStatusCode: number): Error =>
  Object.assign(new Error('no'), { name, $metadata: { httpStatusCode } })

const { signal } = new AbortController()

describe('an answer', () => {
  it('that does not name a message among the successful leaves it unaccepted, whatever the status said', async () => {
    const publisher = publisherOn(async () => ({ Successful: [{ Id: '0' }] }))

    const results = await publisher.publish(messages(2), signal)

    expect(codes(results)).toEqual(['accepted', 'UNKNOWN'])
  })

  it('that never comes does not keep an aborted publish, and what was known stays known', async () => {
    const stopping = new AbortController()
    let requests = 0
    const publisher = publisherOn((request) => {
      if (requests++ === 0) return accept(request)
      stopping.abort()
      return new Promise(() => {})
    })

    const results = await publisher.publish(messages(20), stopping.signal)

    expect(codes(results)).toEqual([...Array<string>(10).fill('accepted'), ...Array<string>(10).fill('ABORTED')])
  })
})

describe('a request refused as a whole', () => {
  it('is sent again one message at a time, so that only the culprit fails', async () => {
    const batch = messages(5)
    const culprit = batch[3]?.id
    const publisher = publisherOn((request) =>
      request.some((one) => one.message.id === culprit)
        ? Promise.reject(refusal('InvalidMessageContents', 400))
        : accept(request),
    )

    const results = await publisher.publish(batch, signal)

    expect(codes(results)).toEqual(['accepted', 'accepted', 'accepted', 'InvalidMessageContents', 'accepted'])
    expect(results[3]).toMatchObject({ failure: { kind: 'permanent' } })
  })

  it('because its queue is missing fails that queue alone', async () => {
    const publisher = publisherOn((request) =>
      request[0]?.destination === 'missing.fifo' ? Promise.reject(refusal('QueueDoesNotExist', 400)) : accept(request),
    )

    const results = await publisher.publish(
      [...messages(2, { topic: 'missing' }), ...messages(2, { topic: 'there' })],
      signal,
    )

    expect(codes(results)).toEqual(['QueueDoesNotExist', 'QueueDoesNotExist', 'accepted', 'accepted'])
  })
})

describe('a service that goes away', () => {
  it('before anything was accepted rejects the publish, so that no message pays', async () => {
    const publisher = publisherOn(() => Promise.reject(refusal('ServiceUnavailable', 503)))

    await expect(publisher.publish(messages(30), signal)).rejects.toMatchObject({ code: 'PUBLISH_OUTAGE' })
  })

  it('in the middle keeps what was accepted, names the destination, and asks it no more', async () => {
    let requests = 0
    const publisher = publisherOn((request) =>
      requests++ === 0 ? accept(request) : Promise.reject(refusal('ThrottlingException', 400)),
    )

    const results = await publisher.publish(messages(30), signal)

    expect(requests).toBe(2)
    expect(codes(results)).toEqual([
      ...Array<string>(10).fill('accepted'),
      ...Array<string>(20).fill('ThrottlingException'),
    ])
  })
})

it('a message for a topic without a destination waits for an operator, and so does what follows it in its key', async () => {
  const publisher = createBatchPublisher({
    name: 'test',
    destinationOf: (topic) => (topic === 'known' ? 'known.fifo' : undefined),
    options: resolveBatchOptions({}, 1_048_576),
    sendBatch: accept,
  })
  const batch = [
    ...messages(2, { topic: 'unknown', orderingKey: 'k' }),
    ...messages(1, { topic: 'known', orderingKey: 'k' }),
  ]

  const results = await publisher.publish(batch, signal)

  expect(codes(results)).toEqual(['NO_DESTINATION', 'PREDECESSOR_FAILED', 'accepted'])
})

it('a topic may be spread over queues by its ordering key', async () => {
  const requests: string[] = []
  const publisher = createBatchPublisher({
    name: 'test',
    destinationOf: (topic, orderingKey) => `${topic}-${String(orderingKey)}.fifo`,
    options: resolveBatchOptions({}, 1_048_576),
    sendBatch: (request, aborting) => {
      requests.push(...request.map(({ destination }) => destination))
      return accept(request, aborting)
    },
  })

  await publisher.publish([...messages(1, { orderingKey: 'a' }), ...messages(1, { orderingKey: 'b' })], signal)

  expect(requests.toSorted()).toEqual(['orders-a.fifo', 'orders-b.fifo'])
})

it('a message over a limit that a topic can be raised to is retryable, above that permanent', async () => {
  const publisher = createBatchPublisher({
    name: 'test',
    destinationOf: (topic) => topic,
    options: resolveBatchOptions({}, 10_000),
    permanentAboveBytes: 20_000,
    sendBatch: accept,
  })

  const results = await publisher.publish(
    [...messages(1, { body: 'x'.repeat(15_000) }), ...messages(1, { body: 'x'.repeat(25_000) })],
    signal,
  )

  expect(
    results.map((result) => (result.status === 'failed' ? [result.failure.code, result.failure.kind] : 'ok')),
  ).toEqual([
    ['TOO_LARGE', 'retryable'],
    ['TOO_LARGE', 'permanent'],
  ])
  expect(resolveBatchOptions({ maxMessageBytes: 1_000_000 }, 262_144).maxBatchBytes).toBe(1_001_024)
})
