import { AssertionError } from 'node:assert'
import { describe, expect, it } from 'vitest'
import type { OutboxMessage, Publisher, PublishResult } from '../src/index.ts'
import { publisherConformance, type PublisherHarness } from '../src/testing/index.ts'
import { createMemoryHarness } from './memory-harness.ts'

// The kits are only as good as what they refuse: each publisher here has one mistake, and the case that is named must see it.

type Mistake = (harness: PublisherHarness) => Partial<PublisherHarness>

/** A publisher that changes what it is given, or what it answers. */
const publisherThat =
  (change: (publisher: Publisher) => Partial<Publisher>) =>
  (harness: PublisherHarness): Partial<PublisherHarness> => ({
    createPublisher: async () => {
      const publisher = await harness.createPublisher()
      return {
        name: publisher.name,
        close: () => publisher.close(),
        publish: (batch, signal) => publisher.publish(batch, signal),
        ...change(publisher),
      }
    },
  })

const answering = (
  change: (results: readonly PublishResult[], batch: readonly OutboxMessage[]) => readonly PublishResult[],
) =>
  publisherThat((publisher) => ({
    publish: async (batch, signal) => change(await publisher.publish(batch, signal), batch),
  }))

const sending = (change: (message: OutboxMessage) => OutboxMessage) =>
  publisherThat((publisher) => ({ publish: (batch, signal) => publisher.publish(batch.map(change), signal) }))

const accepted = ({ id }: OutboxMessage): PublishResult => ({ id, status: 'accepted' })

const publishers: readonly (readonly [mistake: string, seenBy: string, Mistake])[] = [
  [
    'calls everything accepted',
    'a message the broker refuses is reported as failed, and its neighbours as accepted',
    answering((_, batch) => batch.map(accepted)),
  ],
  [
    'forgets a result',
    'every message has one result with its id, and the broker holds what was accepted',
    answering((results) => results.slice(1)),
  ],
  [
    'blames messages for a destination that is missing',
    'a missing destination is unavailable, by a name that stays the same, and neighbours are accepted',
    answering((results) =>
      results.map((result) =>
        result.status === 'failed'
          ? { ...result, failure: { kind: 'permanent', code: 'GONE', message: 'gone' } }
          : result,
      ),
    ),
  ],
  [
    'sends on behind a failure of the same key',
    'when the broker refuses the 3rd of 10 messages of a key, exactly the first two of the key are accepted',
    sending((message) => ({ ...message, orderingKey: null })),
  ],
  [
    'rewrites text',
    'a unicode payload comes back byte for byte',
    sending((message) => ({
      ...message,
      body: typeof message.body === 'string' ? message.body.normalize('NFKD').slice(1) : message.body,
    })),
  ],
  [
    'drops headers for which it has no room',
    'thirty user headers and a trace context all come back',
    sending((message) => ({ ...message, headers: Object.fromEntries(Object.entries(message.headers).slice(0, 10)) })),
  ],
  [
    'takes a header for its own attribute',
    "a user header cannot take the place of the message's own attributes",
    sending((message) => ({ ...message, id: message.headers['ce_id'] ?? message.id })),
  ],
  [
    'answers for what it never sent',
    'while the broker is away publish rejects, and the same publisher goes on when it is back',
    publisherThat((publisher) => ({
      publish: (batch, signal) => publisher.publish(batch, signal).catch(() => batch.map(accepted)),
    })),
  ],
  [
    'sends although it was told to stop',
    'a publish whose signal is already aborted sends nothing',
    publisherThat((publisher) => ({ publish: (batch) => publisher.publish(batch, new AbortController().signal) })),
  ],
  [
    'publishes after it was closed',
    'a closed publisher refuses to publish, and closing it again is harmless',
    publisherThat(() => ({ close: () => Promise.resolve() })),
  ],
]

describe.concurrent('a publisher that', () => {
  it.each(publishers)('%s fails the case "%s"', async (_, seenBy, mistake) => {
    const seeing = publisherConformance.find(({ name }) => name === seenBy)!
    const harness = createMemoryHarness((create) => create())

    await expect(seeing.run({ ...harness, ...mistake(harness) })).rejects.toThrow(AssertionError)
  })
})
