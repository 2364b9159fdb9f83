import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
import { hostileResults } from '../hostile-results.ts'
import type { PublisherHarness } from './harness.ts'
import {
  assertAllAccepted,
  byId,
  failureOf,
  assertArrived,
  idsOf,
  isAccepted,
  publish,
  publishUntilAccepted,
  withPublisher,
} from './steps.ts'

type Case = ConformanceCase<PublisherHarness>

/** What `publish` says became of each message, and whether the broker agrees. */
export const resultCases: readonly Case[] = [
  {
    name: 'an empty batch has an empty result',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        assert.deepEqual(await publisher.publish([], new AbortController().signal), [])
      }),
  },
  {
    name: 'every message has one result with its id, and the broker holds what was accepted',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const batch = messagesTo(topic, 25)

        assertAllAccepted(await publish(harness, publisher, batch))

        const held = await harness.receive(topic, batch.length)
        assert.deepEqual(idsOf(held).sort(), batch.map((message) => message.id).sort())
      }),
  },
  {
    name: 'a batch over several topics reaches each of them',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topics = [await harness.freshTopic(), await harness.freshTopic()]
        const batches = topics.map((topic) => messagesTo(topic, 3, () => ({ orderingKey: 'k' })))

        assertAllAccepted(await publish(harness, publisher, interleave(batches)))

        for (const [index, topic] of topics.entries()) {
          const expected = batches[index]?.map((message) => message.id) ?? []
          assertArrived(harness, await harness.receive(topic, 3), expected)
        }
      }),
  },
  {
    name: 'a batch of 10,000 messages over 100 keys is accepted, complete, and in order per key where the broker keeps it',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const batch = messagesTo(topic, 10_000, (index) => ({ orderingKey: `key-${String(index % 100)}` }))

        assertAllAccepted(await publish(harness, publisher, batch))

        const held = await harness.receive(topic, batch.length)
        assert.equal(new Set(idsOf(held)).size, batch.length, 'all of them, once each')
        for (const key of ['key-0', 'key-7', 'key-99']) {
          const expected = batch.filter((message) => message.orderingKey === key).map((message) => message.id)
          const heldOfKey = held.filter((record) => record.message.orderingKey === key)
          assertArrived(harness, heldOfKey, expected)
        }
      }),
  },
  {
    name: 'a message the broker refuses is reported as failed, and its neighbours as accepted',
    needs: ['brokerRefusal'],
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const { topic, change } = await harness.brokerRefusal!()
        const batch = messagesTo(topic, 5, (index) => (index === 2 ? change : {}))

        const results = await publish(harness, publisher, batch)

        const accepted = batch.filter((message) => isAccepted(results, message)).map((message) => message.id)
        assert.deepEqual(
          accepted,
          batch.filter((_, index) => index !== 2).map((message) => message.id),
        )
        assert.deepEqual(idsOf(await harness.receive(topic, 4)).sort(), accepted.sort())
      }),
  },
  {
    name: 'a missing destination is unavailable, by a name that stays the same, and neighbours are accepted',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const lost = messagesTo(await harness.missingTopic(), 2)
        const good = messagesTo(topic, 3)

        const results = await publish(harness, publisher, interleave([good, lost]))

        const destinations = new Set<string>()
        for (const message of lost) {
          const failure = failureOf(results, message)
          assert.ok(failure.kind === 'unavailable', `not ${failure.kind}: an operator can still make the destination`)
          assert.ok(failure.code.length > 0 && failure.message.length > 0, 'with a code and words for the operator')
          destinations.add(failure.destination)
        }
        assert.equal(destinations.size, 1, 'one destination, one name')
        assert.notEqual([...destinations][0], '')
        for (const message of good) assert.ok(isAccepted(results, message))
        assert.equal((await harness.receive(topic, 3)).length, 3)
      }),
  },
  {
    name: 'a full or throttled destination is unavailable, its neighbours are accepted, and it goes on when it is mended',
    needs: ['troubledTopic'],
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const troubled = await harness.troubledTopic!()
        const stuck = messagesTo(troubled.topic, 3, (index) => ({ orderingKey: `key-${String(index)}` }))
        const good = messagesTo(topic, 3)

        const results = await publish(harness, publisher, interleave([good, stuck]))

        for (const message of stuck) {
          const failure = failureOf(results, message)
          assert.equal(failure.kind, 'unavailable', `${failure.code}: ${failure.message}`)
        }
        for (const message of good) assert.ok(isAccepted(results, message))
        await troubled.mend()
        await publishUntilAccepted(harness, publisher, stuck)
      }),
  },
  {
    name: 'a message over the size limit fails as permanent, and its neighbours are accepted',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const body = 'x'.repeat(harness.maxMessageBytes + 1)
        const batch = messagesTo(topic, 12, (index) => (index === 5 ? { body } : {}))

        const results = await publish(harness, publisher, batch)

        const failure = failureOf(results, batch[5]!)
        assert.equal(failure.kind, 'permanent', `not ${failure.kind} ${failure.code}: ${failure.message}`)
        assert.ok(!failure.message.includes('xxxx'), 'the failure never quotes the payload')
        assert.equal([...results.values()].filter((result) => result.status === 'accepted').length, 11)
        assert.equal((await harness.receive(topic, 11)).length, 11)
      }),
  },
  {
    name: 'every answer keeps to the words of the contract, also where messages fail; no hostile answer would pass for one',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const tooLarge = { body: 'x'.repeat(harness.maxMessageBytes + 1) }
        const batch = [
          ...messagesTo(topic, 3, (index) => (index === 1 ? tooLarge : {})),
          ...messagesTo(await harness.missingTopic(), 1),
        ]
        for (const { name, answer } of hostileResults)
          assert.throws(() => byId(batch, answer(batch)), `the kit takes a hostile answer for a good one: ${name}`)

        byId(batch, await publisher.publish(batch, new AbortController().signal))
        byId(batch, await publisher.publish(batch, AbortSignal.abort()))
      }),
  },
  {
    name: 'a message just under the size limit is accepted',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const batch = messagesTo(topic, 3, () => ({ body: 'x'.repeat(harness.maxMessageBytes - 2_048) }))

        assertAllAccepted(await publish(harness, publisher, batch))

        assert.equal((await harness.receive(topic, 3)).length, 3)
      }),
  },
]

function interleave<Item>(lists: readonly (readonly Item[])[]): Item[] {
  const longest = Math.max(...lists.map((list) => list.length))
  return Array.from({ length: longest }, (_, index) => lists.flatMap((list) => list.slice(index, index + 1))).flat()
}
