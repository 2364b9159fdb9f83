import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
import { HandlerOutageError } from '../../errors.ts'
import type { ConsumerHarness } from './harness.ts'
import {
  deliveredIds,
  gate,
  ids,
  type Recording,
  recording,
  untilDeadLetters,
  untilHandled,
  watch,
  withConsumers,
} from './steps.ts'
import { systemClock } from '../../clock.ts'
import { patience } from '../patience.ts'

type Case = ConformanceCase<ConsumerHarness>

/** From the mend to the first success: a probe at least every second, and a loaded machine. More on one that is said to be slow. */
const resumedWithinMs = (): number => 2_000 * patience()

/** What the handler needs, or the place for dead letters, is away and comes back. */
export const outageCases: readonly Case[] = [
  {
    name: 'while what the handler needs is away no attempt is spent and nothing is dead-lettered; all goes on, in order, within two seconds of the mend',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 40, (index) => ({ orderingKey: `key-${String(index % 8)}` }))
        const database = { isAway: true }
        const recorded = recording(() => {
          if (database.isAway) throw new HandlerOutageError('the database is away')
        })
        const seen = watch()

        await harness.send(messages)
        await consume(topic, { handler: recorded.handler, maxAttempts: 2, onEvent: seen.onEvent })
        await seen.until('consumer.paused', harness)
        await systemClock.sleep(Math.max(500, (harness.holdTimeoutMs ?? 0) * 1.5))
        const callsWhileAway = recorded.deliveries.length
        database.isAway = false
        const mendedMs = systemClock.monotonicMs()
        await seen.until('consumer.resumed', harness)
        const resumedMs = systemClock.monotonicMs() - mendedMs
        await untilHandled(harness, recorded, messages)

        assert.ok(resumedMs < resumedWithinMs(), `resumed after ${resumedMs.toFixed(0)} ms`)
        assert.ok(callsWhileAway < 40, `${String(callsWhileAway)} calls of the handler while it could not work`)
        assert.deepEqual(await harness.deadLetters(topic), [])
        assert.deepEqual([...new Set(recorded.deliveries.map(({ attempt }) => attempt))], [1])
        if (harness.ordersRetries === true) assertHandledInOrder(recorded, messages)
      }),
  },
  {
    name: 'one message that finds something away while others pass comes again without end and spends no attempt',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const [unlucky, ...others] = messagesTo(topic, 5, (index) => ({ orderingKey: `key-${String(index)}` }))
        let outages = 0
        const recorded = recording(({ message }) => {
          if (message.id === unlucky!.id && ++outages <= 4) throw new HandlerOutageError('this shard is away')
        })

        await consume(topic, { handler: recorded.handler, maxAttempts: 2, pauseAfterOutages: 100 })
        await harness.send([unlucky!, ...others])
        await untilHandled(harness, recorded, [unlucky!, ...others])

        assert.equal(outages, 5)
        assert.deepEqual(await harness.deadLetters(topic), [])
      }),
  },
  {
    name: 'when every delivery fails, whatever the error, the consumer pauses, says so, and dead-letters nothing until one succeeds',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 30, (index) => ({ orderingKey: `key-${String(index)}` }))
        const deployment = { isBroken: true }
        const concurrency = 6
        // A client that begins with a record or two gives those all of their attempts before there are failures enough to pause.
        const together = gate()
        const recorded: Recording = recording(async () => {
          if (recorded.running === concurrency) together.open()
          await together.passed
          if (deployment.isBroken) throw new TypeError('cannot read properties of undefined')
        })
        const seen = watch()

        await harness.send(messages)
        const options = { maxAttempts: 3, pauseAfterFailures: concurrency, concurrency, onEvent: seen.onEvent }
        await consume(topic, { handler: recorded.handler, ...options })
        await seen.until('consumer.paused', harness)
        await systemClock.sleep(1_500)
        deployment.isBroken = false
        await untilHandled(harness, recorded, messages)

        const [paused] = seen.of('consumer.paused')
        assert.equal(paused?.reason, 'EVERY_DELIVERY_FAILS')
        assert.deepEqual(await harness.deadLetters(topic), [])
      }),
  },
  {
    name: 'while the place for dead letters is away the message stays, is not handled again and is not told of as dead; the letter arrives within two seconds of the mend',
    needs: ['removeDeadLetterPlace', 'restoreDeadLetterPlace'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const [poison, next] = messagesTo(topic, 2, () => ({ orderingKey: 'k' }))
        const recorded = recording(({ message }) => {
          if (message.id === poison!.id) throw new Error('no stock')
        })
        const seen = watch()

        await harness.removeDeadLetterPlace!(topic)
        await consume(topic, { handler: recorded.handler, maxAttempts: 2, onEvent: seen.onEvent })
        await harness.send([poison!, next!])
        await seen.until('message.dead-letter-failed', harness)
        await systemClock.sleep(Math.max(500, (harness.holdTimeoutMs ?? 0) * 1.5))
        assert.deepEqual(seen.of('message.dead-lettered'), [])
        await harness.restoreDeadLetterPlace!(topic)
        const mendedMs = systemClock.monotonicMs()
        await seen.until('message.dead-lettered', harness)
        const arrivedMs = systemClock.monotonicMs() - mendedMs
        await untilHandled(harness, recorded, [next!])

        assert.ok(arrivedMs < resumedWithinMs(), `dead-lettered after ${arrivedMs.toFixed(0)} ms`)
        const [dead] = await untilDeadLetters(harness, topic, 1)
        assert.deepEqual([dead?.id, dead?.note?.attempts], [poison!.id, 2])
        assert.equal(deliveredIds(recorded).filter((id) => id === poison!.id).length, 2)
      }),
  },
]

/** Each key's messages were handled in the order they were sent. */
function assertHandledInOrder(
  recorded: Recording,
  messages: readonly { readonly id: string; readonly orderingKey: string | null }[],
): void {
  for (const key of new Set(messages.map((message) => message.orderingKey))) {
    const sent = ids(messages.filter((message) => message.orderingKey === key))
    assert.deepEqual(
      recorded.handled.filter((id) => sent.includes(id)),
      sent,
      `order of ${String(key)}`,
    )
  }
}
