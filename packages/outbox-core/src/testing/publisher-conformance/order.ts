import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
import type { OutboxMessage } from '../../message.ts'
import type { PublisherHarness } from './harness.ts'
import {
  assertAllAccepted,
  failureOf,
  assertArrived,
  isAccepted,
  publish,
  publishUntilAccepted,
  withPublisher,
} from './steps.ts'

type Case = ConformanceCase<PublisherHarness>

/** Order per topic and key, above all when something in the middle of it fails. */
export const orderCases: readonly Case[] = [
  {
    name: 'when the 3rd of 10 messages of a key is too large, exactly the first two of the key are accepted',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const tooLarge = { body: 'x'.repeat(harness.maxMessageBytes + 1) }

        await assertPrefix(harness, topic, tooLarge, (batch) => publish(harness, publisher, batch))
      }),
  },
  {
    name: 'when the broker refuses the 3rd of 10 messages of a key, exactly the first two of the key are accepted',
    needs: ['brokerRefusal', 'keepsOrder'],
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const { topic, change } = await harness.brokerRefusal!()

        await assertPrefix(harness, topic, change, (batch) => publish(harness, publisher, batch))
      }),
  },
  {
    name: 'what failed behind a refused message is accepted once the refused one is out of the way, in order where the broker keeps it',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const batch = messagesTo(topic, 6, (index) => ({
          orderingKey: 'k',
          ...(index === 2 ? { body: 'x'.repeat(harness.maxMessageBytes + 1) } : {}),
        }))

        await publish(harness, publisher, batch)
        await publishUntilAccepted(harness, publisher, batch.slice(3))

        const expected = batch.filter((_, index) => index !== 2).map((message) => message.id)
        assertArrived(harness, await harness.receive(topic, 5), expected)
      }),
  },
  {
    name: 'one key of 200 messages arrives in the order it was given',
    needs: ['keepsOrder'],
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const batch = messagesTo(topic, 200, () => ({ orderingKey: 'account-1' }))

        assertAllAccepted(await publish(harness, publisher, batch))

        const held = await harness.receive(topic, batch.length)
        assertArrived(
          harness,
          held,
          batch.map((message) => message.id),
        )
      }),
  },
  {
    name: 'the broker orders by the ordering key: one key has one broker key, another key another',
    needs: ['ordersByBrokerKey'],
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const batch = messagesTo(topic, 8, (index) => ({ orderingKey: index % 2 === 0 ? 'even' : 'odd' }))

        assertAllAccepted(await publish(harness, publisher, batch))

        const held = await harness.receive(topic, batch.length)
        const keysOf = (key: string): Set<string | undefined> =>
          new Set(held.filter((record) => record.message.orderingKey === key).map((record) => record.brokerKey))
        assert.equal(keysOf('even').size, 1, 'all messages of a key share one broker key')
        assert.equal(keysOf('odd').size, 1)
        assert.notDeepEqual(keysOf('even'), keysOf('odd'))
      }),
  },
  {
    name: 'ordering keys with spaces, accents, emoji and 500 characters come back exactly, in order where the broker keeps it',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const keys = ['conta 1', 'ação/😀', 'k'.repeat(500), ' ', '"\\', '\u0001\ufffe']
        const batch = keys.flatMap((orderingKey) => messagesTo(topic, 2, () => ({ orderingKey })))

        assertAllAccepted(await publish(harness, publisher, batch))

        const held = await harness.receive(topic, batch.length)
        for (const key of keys) {
          const expected = batch.filter((message) => message.orderingKey === key).map((message) => message.id)
          const heldOfKey = held.filter((record) => record.message.orderingKey === key)
          assertArrived(harness, heldOfKey, expected)
        }
      }),
  },
]

async function assertPrefix(
  harness: PublisherHarness,
  topic: string,
  refused: Partial<OutboxMessage>,
  publishBatch: (batch: readonly OutboxMessage[]) => ReturnType<typeof publish>,
): Promise<void> {
  const key = messagesTo(topic, 10, (index) => ({ orderingKey: 'stopped', ...(index === 2 ? refused : {}) }))
  const others = messagesTo(topic, 10, (index) => ({ orderingKey: index < 5 ? 'other' : null }))

  const results = await publishBatch(key.flatMap((message, index) => [message, others[index] as OutboxMessage]))

  const accepted = key.filter((message) => isAccepted(results, message)).map((message) => message.id)
  assert.deepEqual(
    accepted,
    key.slice(0, 2).map((message) => message.id),
  )
  for (const message of key.slice(3)) assert.equal(failureOf(results, message).kind, 'retryable')
  for (const message of others) assert.ok(isAccepted(results, message), 'other keys do not wait for the refused one')
  const held = await harness.receive(topic, 12)
  const heldOfKey = held.filter((record) => record.message.orderingKey === 'stopped')
  assertArrived(harness, heldOfKey, accepted, 'the broker holds nothing of the key past the refused message')
}
