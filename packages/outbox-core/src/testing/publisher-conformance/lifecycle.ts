import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
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
  within,
} from './steps.ts'
import { afterThisTurn } from '../../clock.ts'

type Case = ConformanceCase<PublisherHarness>

/** Longest a publish may go on after its signal aborted, in milliseconds: a relay that stops has a grace period to keep. */
const promptMs = 2_000

/** Aborting and closing, before, during and after a publish. */
export const lifecycleCases: readonly Case[] = [
  {
    name: 'a publish whose signal is already aborted sends nothing',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const batch = messagesTo(topic, 3)

        const results = await publish(harness, publisher, batch, AbortSignal.abort())

        for (const message of batch) assert.equal(failureOf(results, message).code, 'ABORTED')
        const marker = messagesTo(topic, 1)
        assertAllAccepted(await publish(harness, publisher, marker))
        assert.deepEqual(idsOf(await harness.receive(topic, 1)), [marker[0]!.id])
      }),
  },
  {
    name: 'aborting in the middle of a publish settles it promptly: accepted, or ABORTED and retryable',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const batch = messagesTo(topic, 2_000, (index) => ({ orderingKey: `key-${String(index % 20)}` }))
        const stopping = new AbortController()

        const publishing = publisher.publish(batch, stopping.signal)
        await new Promise<void>((resolve) => afterThisTurn(resolve))
        stopping.abort()
        const results = byId(batch, await within(promptMs, 'an aborted publish()', publishing))

        const failed = batch.filter((message) => !isAccepted(results, message))
        assert.ok(failed.length > 0, 'not all 2,000 can be acknowledged by then')
        for (const message of failed) {
          const { kind, code } = failureOf(results, message)
          assert.deepEqual({ kind, code }, { kind: 'retryable', code: 'ABORTED' })
        }
        await publishUntilAccepted(harness, publisher, failed)
        const held = await harness.receive(topic, batch.length)
        assert.equal(new Set(idsOf(held)).size, batch.length)
        for (const key of ['key-0', 'key-19']) {
          const expected = batch.filter((message) => message.orderingKey === key).map((message) => message.id)
          const heldOfKey = held.filter((record) => record.message.orderingKey === key)
          assertArrived(harness, heldOfKey, expected)
        }
      }),
  },
  {
    name: 'close in the middle of a publish waits for it, and what it accepted is there',
    run: async (harness) => {
      const topic = await harness.freshTopic()
      const batch = messagesTo(topic, 500, (index) => ({ orderingKey: `key-${String(index % 10)}` }))
      const publisher = await harness.createPublisher()
      let settled = false

      const publishing = publisher.publish(batch, new AbortController().signal).finally(() => (settled = true))
      await within(harness.patienceMs, 'close()', publisher.close())

      assert.ok(settled, 'close() resolves after the publish settled')
      assertAllAccepted(byId(batch, await publishing))
      assert.equal(new Set(idsOf(await harness.receive(topic, batch.length))).size, batch.length)
    },
  },
  {
    name: 'a closed publisher refuses to publish, and closing it again is harmless',
    run: async (harness) => {
      const topic = await harness.freshTopic()
      const publisher = await harness.createPublisher()

      await Promise.all([publisher.close(), publisher.close()])
      await publisher.close()

      await assert.rejects(publisher.publish(messagesTo(topic, 1), new AbortController().signal), {
        code: 'PUBLISHER_CLOSED',
      })
    },
  },
  {
    name: 'several publishes at the same time keep their results apart',
    run: (harness) =>
      withPublisher(harness, async (publisher) => {
        const topic = await harness.freshTopic()
        const batches = Array.from({ length: 8 }, (_, index) =>
          messagesTo(topic, 40, () => ({ orderingKey: `batch-${String(index)}` })),
        )

        const results = await Promise.all(batches.map((batch) => publish(harness, publisher, batch)))

        results.forEach(assertAllAccepted)
        const held = await harness.receive(topic, 320)
        for (const [index, batch] of batches.entries())
          assertArrived(
            harness,
            held.filter((record) => record.message.orderingKey === `batch-${String(index)}`),
            batch.map((message) => message.id),
          )
      }),
  },
]
