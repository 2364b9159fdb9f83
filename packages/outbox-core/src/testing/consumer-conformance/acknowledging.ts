import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
import { eventually } from '../eventually.ts'
import type { ConsumerHarness } from './harness.ts'
import { deliveredIds, gate, ids, recording, untilHandled, withConsumers } from './steps.ts'
import { recordingBatches, untilApplied } from './streams.ts'
import { systemClock } from '../../clock.ts'

type Case = ConformanceCase<ConsumerHarness>

/** When a message leaves the broker, and when it must come again. */
export const acknowledgingCases: readonly Case[] = [
  {
    name: 'a message comes as it was sent: identity, key, headers, instant and body',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const headers = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'X-Tenant': 'ação' }
        const [sent] = messagesTo(topic, 1, () => ({ orderingKey: 'conta-1', headers, body: '{"texto":"não 😀"}' }))
        const recorded = recording()

        await consume(topic, { handler: recorded.handler })
        await harness.send([sent!])
        await untilHandled(harness, recorded, [sent!])

        const { message, attempt, signal } = recorded.deliveries[0]!
        assert.deepEqual([message.id, message.type, message.orderingKey], [sent!.id, sent!.type, 'conta-1'])
        assert.deepEqual({ ...message.headers }, headers)
        assert.deepEqual(message.json(), { texto: 'não 😀' })
        assert.equal(message.createdAt.toISOString(), sent!.createdAt.toISOString())
        assert.equal(attempt, 1)
        assert.equal(signal.aborted, false)
      }),
  },
  {
    name: 'a handled message does not come again',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const [first, second] = [messagesTo(topic, 20), messagesTo(topic, 1)]
        const before = recording()
        const after = recording()

        const consumer = await consume(topic, { handler: before.handler })
        await harness.send(first)
        await untilHandled(harness, before, first)
        await consumer.stop()
        await consume(topic, { handler: after.handler })
        await harness.send(second)
        await untilHandled(harness, after, second)

        assert.equal(before.deliveries.length, 20)
        assert.deepEqual(deliveredIds(after), ids(second))
      }),
  },
  {
    name: 'a crash while the handler runs has the message delivered again: it was not acknowledged before',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        // One that is handled alone, and a stream that is handled in batches where the broker gives several of it.
        const messages = messagesTo(topic, 7, (at) => ({ orderingKey: at === 0 ? null : 'hot' }))
        const handlerMayEnd = gate()
        const crashed = recordingBatches(() => handlerMayEnd.passed)
        const survivor = recordingBatches(() => {})

        await harness.send(messages)
        const consumer = await consume(topic, { handler: crashed.handler })
        await eventually(() => assert.equal(crashed.calls.length, 2), harness)
        await harness.crash(consumer)
        handlerMayEnd.open()
        await consume(topic, { handler: survivor.handler })

        await untilApplied(harness, survivor, messages, harness.redeliveryMs)
      }),
  },
  {
    name: 'a handler whose consumer lost the broker is told by its signal',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const recorded = recording(({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)))

        const consumer = await consume(topic, { handler: recorded.handler })
        await harness.send(messagesTo(topic, 1))
        await eventually(() => assert.equal(recorded.running, 1), harness)
        await harness.crash(consumer)

        await eventually(() => assert.equal(recorded.deliveries[0]?.signal.aborted, true, 'signal aborted'), {
          patienceMs: harness.redeliveryMs + harness.patienceMs,
        })
      }),
  },
  {
    name: 'a handler slower than the hold timeout keeps its message: nobody else is given it',
    needs: ['holdTimeoutMs'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const slow = messagesTo(topic, 1)
        const recorded = recording(() => systemClock.sleep((harness.holdTimeoutMs ?? 0) * 2.5))

        await consume(topic, { handler: recorded.handler })
        await consume(topic, { handler: recorded.handler })
        await harness.send(slow)
        await untilHandled(harness, recorded, slow)

        assert.equal(recorded.deliveries.length, 1)
        assert.equal(recorded.deliveries[0]?.signal.aborted, false)
      }),
  },
  {
    name: 'the broker may crash and come back: the consumer goes on and dead-letters nothing',
    needs: ['stopBroker', 'startBroker'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const [before, after] = [messagesTo(topic, 3), messagesTo(topic, 3)]
        const recorded = recording()
        const seen = new Set<string>()

        await consume(topic, { handler: recorded.handler, onEvent: (event) => void seen.add(event.type) })
        await harness.send(before)
        await untilHandled(harness, recorded, before)
        await harness.stopBroker!()
        try {
          await eventually(() => assert.ok(seen.has('consumer.disconnected'), 'consumer.disconnected'), harness)
        } finally {
          await harness.startBroker!()
        }
        await harness.send(after)
        await untilHandled(harness, recorded, after, harness.redeliveryMs)

        await eventually(() => assert.ok(seen.has('consumer.reconnected'), 'consumer.reconnected'), harness)
        assert.deepEqual(await harness.deadLetters(topic), [])
      }),
  },
]
