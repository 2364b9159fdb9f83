import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
import type { ConsumerHarness } from './harness.ts'
import { deliveredIds, gate, recording, untilDeadLetters, untilHandled, withConsumers } from './steps.ts'
import { systemClock } from '../../clock.ts'

type Case = ConformanceCase<ConsumerHarness>

/** Attempts over processes that die. */
export const poisonCases: readonly Case[] = [
  {
    name: 'a message whose handler kills its process is called maxAttempts times at the most and dead-lettered as poison; its neighbours are handled',
    needs: ['consumerStore'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const { store } = await harness.consumerStore!()
        const [killer, ...others] = messagesTo(topic, 8, (index) => ({ orderingKey: `key-${String(index)}` }))
        const messages = [...others.slice(0, 4), killer!, ...others.slice(4)]
        const maxAttempts = 3
        let died = gate()
        const recorded = recording(async ({ message }) => {
          if (message.id !== killer!.id) return systemClock.sleep(20)
          died.open()
          await new Promise(() => {}) // A process that died ends no call.
        })
        const isSettled = { value: false }
        const settled = async (): Promise<void> => {
          const [letter] = await untilDeadLetters(patient(harness, maxAttempts), topic, 1)
          await untilHandled(patient(harness, maxAttempts), recorded, others)
          isSettled.value = true
          assert.deepEqual([letter?.id, letter?.note?.reason], [killer!.id, 'POISON'])
        }

        await harness.send(messages)
        const done = settled()
        while (!isSettled.value) {
          died = gate()
          const consumer = await consume(topic, { handler: recorded.handler, maxAttempts, store })
          await Promise.race([died.passed, done])
          if (!isSettled.value) await harness.crash(consumer)
        }
        await done

        const calls = deliveredIds(recorded).filter((id) => id === killer!.id).length
        assert.ok(calls <= maxAttempts && calls >= 2, `${String(calls)} calls of the handler that kills`)
      }),
  },
  {
    name: 'attempts go on over processes: a failure before a crash is counted, what had only been taken is not',
    needs: ['consumerStore', 'ordersRetries'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const { store } = await harness.consumerStore!()
        const [failing, behind] = messagesTo(topic, 2, () => ({ orderingKey: 'k' }))
        const failed = gate()
        const first = recording(() => {
          failed.open()
          throw new Error('not yet')
        })
        const second = recording()

        const crashed = await consume(topic, { handler: first.handler, maxAttempts: 3, store, backoff: () => 5_000 })
        await harness.send([failing!, behind!])
        await failed.passed
        await systemClock.sleep(300) // The failure is written down after the handler ended.
        await harness.crash(crashed)
        await consume(topic, { handler: second.handler, maxAttempts: 3, store })
        await untilHandled(harness, second, [failing!, behind!], harness.redeliveryMs + 5_000)

        assert.deepEqual(
          second.deliveries.map(({ message, attempt }) => [message.id, attempt]),
          [
            [failing!.id, 2],
            [behind!.id, 1],
          ],
        )
      }),
  },
]

/** Each death costs a redelivery. */
function patient(harness: ConsumerHarness, deaths: number): ConsumerHarness {
  return Object.assign(Object.create(harness) as ConsumerHarness, {
    patienceMs: harness.patienceMs + deaths * harness.redeliveryMs,
  })
}
