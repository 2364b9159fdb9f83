import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
import { eventually } from '../eventually.ts'
import type { ConsumerHarness } from './harness.ts'
import { gate, ids, recording, untilHandled, watch, withConsumers } from './steps.ts'

type Case = ConformanceCase<ConsumerHarness>

/** Streams that wait behind a dead letter. */
export const holdCases: readonly Case[] = [
  {
    name: "with afterDeadLetter 'hold' a stream stops behind its dead letter while others go on, over a process that ends in the middle of it, and an operator's retry handles all of it in order",
    needs: ['consumerStore', 'ordersRetries'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const { store, streams, consumer } = await harness.consumerStore!()
        const stuck = messagesTo(topic, 5, () => ({ orderingKey: 'stuck' }))
        const free = messagesTo(topic, 3, () => ({ orderingKey: 'free' }))
        const stock = { isThere: false }
        const recorded = recording(({ message }) => {
          if (message.id === stuck[0]!.id && !stock.isThere) throw new Error('no stock')
        })
        const seen = watch()
        const options = { maxAttempts: 2, store, afterDeadLetter: 'hold', onEvent: seen.onEvent } as const
        const stopped = gate()
        let isWritten = false
        const slow: typeof store = {
          ...store,
          hold: async (message, note) => {
            await store.hold(message, note)
            isWritten = true
            await stopped.passed
          },
        }

        // It ends between the hold and its acknowledgement: the dead message comes again.
        const first = await consume(topic, { handler: recorded.handler, ...options, store: slow })
        await harness.send([...stuck.slice(0, 3), ...free])
        await untilHandled(harness, recorded, free)
        try {
          await eventually(() => assert.ok(isWritten, 'the stream is held'), { patienceMs: harness.patienceMs })
          await first.stop({ graceMs: 100 })
        } finally {
          stopped.open()
        }
        await consume(topic, { handler: recorded.handler, ...options })
        await untilWaiting(harness, streams, consumer, 2)
        await harness.send([stuck[3]!])
        await untilWaiting(harness, streams, consumer, 3)
        const [held] = await streams.list({ consumer })
        assert.deepEqual(recorded.handled.toSorted(), ids(free).toSorted())
        assert.deepEqual([held?.deadMessageId, held?.note?.attempts], [stuck[0]!.id, 2])
        assert.deepEqual(await harness.deadLetters(topic), [])
        stock.isThere = true
        assert.equal(await streams.release(held!, 'retry', { operator: 'kit' }), true)
        await harness.send([stuck[4]!])
        await untilHandled(harness, recorded, stuck)

        assert.deepEqual(
          recorded.handled.filter((id) => ids(stuck).includes(id)),
          ids(stuck),
        )
        await eventually(async () => assert.deepEqual(await streams.list({ consumer }), []), {
          patienceMs: harness.patienceMs,
        })
      }),
  },
  {
    name: 'a held stream whose dead letter is discarded goes on with what waited, and stops again at the next one that fails',
    needs: ['consumerStore', 'ordersRetries'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const { store, streams, consumer } = await harness.consumerStore!()
        const messages = messagesTo(topic, 4, () => ({ orderingKey: 'k' }))
        const bad = [messages[0]!.id, messages[2]!.id]
        const recorded = recording(({ message }) => {
          if (bad.includes(message.id)) throw new Error('no stock')
        })

        await consume(topic, { handler: recorded.handler, maxAttempts: 1, store, afterDeadLetter: 'hold' })
        await harness.send(messages)
        await untilWaiting(harness, streams, consumer, 3)
        const [held] = await streams.list({ consumer })
        await streams.release(held!, 'discard')
        await untilWaiting(harness, streams, consumer, 1)

        assert.deepEqual(recorded.handled, [messages[1]!.id])
        const [again] = await streams.list({ consumer })
        assert.deepEqual([again?.deadMessageId, again?.isHeld], [messages[2]!.id, true])
        await streams.release(held!, 'discard')
        await untilHandled(harness, recorded, [messages[3]!])
      }),
  },
]

function untilWaiting(
  harness: ConsumerHarness,
  streams: Awaited<ReturnType<NonNullable<ConsumerHarness['consumerStore']>>>['streams'],
  consumer: string,
  count: number,
): Promise<void> {
  return eventually(
    async () => {
      const [held] = await streams.list({ consumer })
      assert.deepEqual([held?.isHeld, held?.waiting], [true, count], 'held, and messages that wait')
    },
    { patienceMs: harness.patienceMs },
  )
}
