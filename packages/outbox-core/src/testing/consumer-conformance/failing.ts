import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
import { PermanentFailure, UnknownTypeError } from '../../errors.ts'
import type { ConsumerHarness } from './harness.ts'
import { deliveredIds, ids, recording, untilDeadLetters, untilHandled, withConsumers } from './steps.ts'
import { systemClock } from '../../clock.ts'

type Case = ConformanceCase<ConsumerHarness>

/** What becomes of messages whose handler fails, and of what is no message at all. */
export const failingCases: readonly Case[] = [
  {
    name: 'a failed message comes again with the next attempt number until it is handled',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 1)
        const recorded = recording(({ attempt }) => {
          if (attempt < 3) throw new Error('not yet')
        })

        await consume(topic, { handler: recorded.handler })
        await harness.send(messages)
        await untilHandled(harness, recorded, messages)

        assert.deepEqual(
          recorded.deliveries.map((delivery) => delivery.attempt),
          [1, 2, 3],
        )
        assert.deepEqual(await harness.deadLetters(topic), [])
      }),
  },
  {
    name: 'a failed message comes again no sooner than its backoff says',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 1)
        const beganMs: number[] = []
        const asked: number[] = []
        const recorded = recording(({ attempt }) => {
          beganMs.push(systemClock.monotonicMs())
          if (attempt === 1) throw new Error('not yet')
        })

        await consume(topic, { handler: recorded.handler, backoff: (attempt) => (asked.push(attempt), 1_000) })
        await harness.send(messages)
        await untilHandled(harness, recorded, messages)

        assert.deepEqual(asked, [1])
        const pausedMs = beganMs[1]! - beganMs[0]!
        assert.ok(pausedMs >= 900, `came again after ${pausedMs.toFixed(0)} ms`)
      }),
  },
  {
    name: 'a message that always fails is dead-lettered after maxAttempts, with the reason and the count, and its key goes on',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const [poison, next] = messagesTo(topic, 2, () => ({ orderingKey: 'k', body: '{"poison":true}' }))
        const recorded = recording(({ message }) => {
          if (message.id === poison!.id) throw new Error('no stock')
        })

        await consume(topic, { handler: recorded.handler, maxAttempts: 3 })
        await harness.send([poison!, next!])
        await untilHandled(harness, recorded, [next!])

        const [dead] = await untilDeadLetters(harness, topic, 1)
        assert.equal(deliveredIds(recorded).filter((id) => id === poison!.id).length, 3)
        assert.deepEqual([dead?.id, dead?.note?.reason, dead?.note?.attempts], [poison!.id, 'MAX_ATTEMPTS', 3])
        assert.equal(new TextDecoder().decode(dead?.body), '{"poison":true}')
      }),
  },
  {
    name: 'a permanent failure is dead-lettered at once',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 1)
        const recorded = recording(() => {
          throw new PermanentFailure('this order was for a ticker that no longer exists')
        })

        await consume(topic, { handler: recorded.handler })
        await harness.send(messages)

        const [dead] = await untilDeadLetters(harness, topic, 1)
        assert.deepEqual([dead?.id, dead?.note?.reason, dead?.note?.attempts], [messages[0]!.id, 'PERMANENT', 1])
        assert.deepEqual(deliveredIds(recorded), ids(messages))
      }),
  },
  {
    name: 'a record that is no message of ours is dead-lettered as it is, without calling the handler',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 1)
        const recorded = recording()

        await consume(topic, { handler: recorded.handler })
        await harness.sendForeign(topic, 'who am I?')
        await harness.send(messages)
        await untilHandled(harness, recorded, messages)

        const [dead] = await untilDeadLetters(harness, topic, 1)
        assert.equal(dead?.note?.reason, 'UNDECODABLE')
        assert.equal(new TextDecoder().decode(dead?.body), 'who am I?')
        assert.deepEqual(deliveredIds(recorded), ids(messages))
      }),
  },
  {
    name: 'a body that is not the JSON the handler reads is dead-lettered as undecodable',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 1, () => ({ body: '{"half":' }))
        const recorded = recording(({ message }) => message.json())

        await consume(topic, { handler: recorded.handler })
        await harness.send(messages)

        const [dead] = await untilDeadLetters(harness, topic, 1)
        assert.deepEqual([dead?.id, dead?.note?.reason], [messages[0]!.id, 'UNDECODABLE'])
      }),
  },
  {
    name: 'an unknown type comes again as often as it must and spends no attempts',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 1, () => ({ type: 'order.split' }))
        const recorded = recording(({ message }) => {
          if (recorded.deliveries.length <= 3) throw new UnknownTypeError(message.type)
          if (recorded.deliveries.length === 4) throw new Error('known now, and failing for the first time')
        })

        await consume(topic, { handler: recorded.handler, maxAttempts: 2, unknownTypeRetryMs: 0 })
        await harness.send(messages)
        await untilHandled(harness, recorded, messages)

        assert.equal(recorded.deliveries.length, 5)
        assert.deepEqual(await harness.deadLetters(topic), [])
      }),
  },
]
