import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
import { eventually } from '../eventually.ts'
import type { Publisher } from '../../publisher.ts'
import type { PublisherHarness } from './harness.ts'
import {
  assertAllAccepted,
  assertOutage,
  byId,
  assertArrived,
  idsOf,
  isAccepted,
  publish,
  publishUntilAccepted,
  withPublisher,
} from './steps.ts'

type Case = ConformanceCase<PublisherHarness>

/** The broker goes away and comes back; nothing acknowledged is lost, nothing is blamed on the messages. */
export const outageCases: readonly Case[] = [
  {
    name: 'while the broker is away publish rejects, and the same publisher goes on when it is back',
    needs: ['stopBroker', 'startBroker'],
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const [before, after] = [messagesTo(topic, 3), messagesTo(topic, 3)]
        assertAllAccepted(await publish(harness, publisher, before))

        await withBrokerDown(harness, () => assertOutage(harness, publisher, after))
        await publishUntilAccepted(harness, publisher, after)

        const held = await harness.receive(topic, 6)
        assert.deepEqual(
          new Set(idsOf(held)),
          new Set([...before, ...after].map((message) => message.id)),
          'what was accepted before the crash is still there',
        )
      }),
  },
  {
    name: 'a publisher made while the broker is away works once it is there',
    needs: ['stopBroker', 'startBroker'],
    run: async (harness) => {
      const topic = await harness.freshTopic()
      const batch = messagesTo(topic, 3, () => ({ orderingKey: 'k' }))

      let early: Publisher | null = null
      await withBrokerDown(harness, async () => {
        early = await harness.createPublisher().catch(() => null) // A factory that connects may reject; it is called again below.
        if (early !== null) await assertOutage(harness, early, batch)
      })
      const publisher = early ?? (await harness.createPublisher())
      try {
        await publishUntilAccepted(harness, publisher, batch)
      } finally {
        await publisher.close()
      }
      assertArrived(
        harness,
        await harness.receive(topic, 3),
        batch.map((message) => message.id),
      )
    },
  },
  {
    name: 'a crash of the broker in the middle of a publish loses nothing accepted and fails nothing for good',
    needs: ['stopBroker', 'startBroker'],
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const batch = messagesTo(topic, 3_000, (index) => ({ orderingKey: `key-${String(index % 50)}` }))
        assertAllAccepted(await publish(harness, publisher, batch.slice(0, 50)))
        const rest = batch.slice(50)

        const publishing = publisher
          .publish(rest, new AbortController().signal)
          .then((results) => byId(rest, results))
          .catch(() => new Map<string, never>()) // Rejected: nothing of it is known to be accepted.
        await withBrokerDown(harness, () => Promise.resolve())
        const results = await publishing

        for (const result of results.values())
          if (result.status === 'failed') assert.notEqual(result.failure.kind, 'permanent')
        const accepted = [...batch.slice(0, 50), ...rest.filter((message) => isAccepted(results, message))]
        await publishUntilAccepted(
          harness,
          publisher,
          rest.filter((message) => !isAccepted(results, message)),
        )
        const held = await harness.receive(topic, batch.length)
        const ids = new Set(idsOf(held))
        assert.deepEqual(
          accepted.filter((message) => !ids.has(message.id)).map((message) => message.id),
          [],
          'accepted and lost',
        )
        assert.equal(ids.size, batch.length, 'everything arrived in the end')
        for (const key of ['key-0', 'key-49']) {
          const expected = batch.filter((message) => message.orderingKey === key).map((message) => message.id)
          const heldOfKey = held.filter((record) => record.message.orderingKey === key)
          assertArrived(harness, heldOfKey, expected)
        }
      }),
  },
  {
    name: 'twenty cut connections leak none: the publisher reconnects and holds no more than before',
    needs: ['cutConnections', 'openConnections'],
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        assertAllAccepted(await publish(harness, publisher, messagesTo(topic, 1)))
        const before = await harness.openConnections!()
        assert.ok(before > 0, 'openConnections sees the publisher')

        for (let round = 0; round < 20; round++) {
          await harness.cutConnections!()
          await publishUntilAccepted(harness, publisher, messagesTo(topic, 1))
        }

        await eventually(
          async () => {
            const after = await harness.openConnections!()
            assert.ok(after <= before, `${String(before)} connections before, ${String(after)} after`)
          },
          { patienceMs: harness.patienceMs },
        )
      }),
  },
]

async function withBrokerDown(harness: PublisherHarness, work: () => Promise<void>): Promise<void> {
  await harness.stopBroker!()
  try {
    await work()
  } finally {
    await harness.startBroker!()
  }
}
