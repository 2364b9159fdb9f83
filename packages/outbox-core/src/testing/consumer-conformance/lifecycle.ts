import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
import { eventually } from '../eventually.ts'
import type { ConsumerHarness } from './harness.ts'
import { deliveredIds, gate, recording, untilHandled, withConsumers } from './steps.ts'
import { systemClock } from '../../clock.ts'
import { patience } from '../patience.ts'

type Case = ConformanceCase<ConsumerHarness>

/** Starting and stopping. */
export const lifecycleCases: readonly Case[] = [
  {
    name: 'stop waits for the running handlers, acknowledges them, and leaves the rest to the next consumer',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 20)
        const handlersMayEnd = gate()
        const drained = recording(() => handlersMayEnd.passed)
        const next = recording()
        let stopped = false

        await harness.send(messages)
        const consumer = await consume(topic, { handler: drained.handler, concurrency: 4 })
        await eventually(() => assert.ok(drained.running > 0), harness)
        const stopping = consumer.stop({ graceMs: harness.patienceMs }).then(() => (stopped = true))
        await systemClock.sleep(250) // Nothing can be awaited: a stop that does not wait would abort the handlers in this time.
        const begun = drained.deliveries.length
        assert.equal(stopped, false, 'stop() waits while handlers run')
        handlersMayEnd.open()
        await stopping

        assert.equal(drained.handled.length, begun, 'every handler that ran was waited for')
        assert.equal(drained.deliveries.length, begun, 'none began after stop()')
        assert.ok(
          drained.deliveries.every(({ signal }) => !signal.aborted),
          'no handler was told to stop within the grace period',
        )
        await consume(topic, { handler: next.handler })
        const rest = messages.filter((message) => !drained.handled.includes(message.id))
        await untilHandled(harness, next, rest, harness.redeliveryMs)
        assert.deepEqual(
          deliveredIds(next).filter((id) => drained.handled.includes(id)),
          [],
          'what was drained was acknowledged',
        )
      }),
  },
  {
    name: 'a handler that outlives the grace period is aborted, and its message comes again',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 1, () => ({ orderingKey: 'k' }))
        const endless = recording(
          ({ signal }) =>
            new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('told to stop')))),
        )
        const next = recording()

        const consumer = await consume(topic, { handler: endless.handler })
        await harness.send(messages)
        await eventually(() => assert.equal(endless.running, 1), harness)
        await consumer.stop({ graceMs: 50 })

        assert.equal(endless.deliveries[0]?.signal.aborted, true)
        await consume(topic, { handler: next.handler })
        await untilHandled(harness, next, messages, harness.redeliveryMs)
      }),
  },
  {
    name: 'a consumer starts once, and stopping it before, twice or again is harmless',
    run: async (harness) => {
      const topic = await harness.freshTopic()
      const { handler } = recording()

      const unstarted = await harness.createConsumer(topic, { handler })
      await unstarted.stop()
      const consumer = await harness.createConsumer(topic, { handler })
      await consumer.start()
      await assert.rejects(consumer.start(), { code: 'CONSUMER_STATE' })
      await Promise.all([consumer.stop(), consumer.stop()])
      await consumer.stop()
      await assert.rejects(consumer.start(), { code: 'CONSUMER_STATE' })
    },
  },
  {
    name: 'stop resolves within its grace period although the broker is out of reach',
    run: async (harness) => {
      const topic = await harness.freshTopic()
      const consumer = await harness.createConsumer(topic, { handler: recording().handler })
      await consumer.start()

      await harness.crash(consumer)
      const startedMs = systemClock.monotonicMs()
      await consumer.stop({ graceMs: 500 })

      const tookMs = systemClock.monotonicMs() - startedMs
      assert.ok(tookMs < 5_000 * patience(), `stop() took ${tookMs.toFixed(0)} ms`)
    },
  },
  {
    name: 'an observer that throws stops no message',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 3)
        const recorded = recording()
        const onEvent = (): never => {
          throw new Error('a mistake in the observer')
        }

        await consume(topic, { handler: recorded.handler, onEvent })
        await harness.send(messages)

        await untilHandled(harness, recorded, messages)
      }),
  },
  {
    name: 'the observer hears of the start, of each message handled and of the stop',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 1)
        const recorded = recording()
        const seen: string[] = []

        const consumer = await consume(topic, {
          handler: recorded.handler,
          onEvent: (event) => void seen.push(event.type),
        })
        await harness.send(messages)
        await untilHandled(harness, recorded, messages)
        await consumer.stop()

        assert.deepEqual(seen, ['consumer.started', 'message.handled', 'consumer.stopped'])
      }),
  },
]
