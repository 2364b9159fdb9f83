import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { ConformanceCase } from '../conformance.ts'
import type { OutboxMessage } from '../../message.ts'
import { eventually } from '../eventually.ts'
import type { ConsumerHarness } from './harness.ts'
import { deliveredIds, gate, ids, type Recording, recording, untilHandled, withConsumers } from './steps.ts'
import { systemClock } from '../../clock.ts'

type Case = ConformanceCase<ConsumerHarness>

const overKeys =
  (keys: number) =>
  (index: number): Partial<OutboxMessage> => ({ orderingKey: `key-${String(index % keys)}` })

/** Order per key, concurrency and its bounds. */
export const orderCases: readonly Case[] = [
  {
    name: 'messages of one key are handled one after the other, in order where the broker keeps it, while other keys go on beside them',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 60, overKeys(6))
        const recorded = recording(({ message }) => systemClock.sleep(message.orderingKey === 'key-0' ? 15 : 3))

        await harness.send(messages)
        await consume(topic, { handler: recorded.handler, concurrency: 6 })
        await untilHandled(harness, recorded, messages)

        assert.deepEqual([...recorded.overlappingKeys], [])
        if (harness.ordersByKey === true) assertFirstInOrder(recorded, messages)
        assert.ok(recorded.maxRunning > 1, 'different keys run at the same time')
      }),
  },
  {
    name: 'messages behind a failed one of their key wait for it, other keys do not',
    needs: ['ordersRetries'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const stuck = messagesTo(topic, 3, () => ({ orderingKey: 'stuck' }))
        const free = messagesTo(topic, 3, () => ({ orderingKey: 'free' }))
        const recorded = recording(({ message, attempt }) => {
          if (message.id === stuck[0]?.id && attempt < 3) throw new Error('not yet')
        })

        await harness.send([...stuck, ...free])
        await consume(topic, { handler: recorded.handler, backoff: () => 200 })
        await untilHandled(harness, recorded, [...stuck, ...free])

        const [first, second, third] = ids(stuck)
        const stuckDeliveries = deliveredIds(recorded).filter((id) => ids(stuck).includes(id))
        assert.deepEqual(stuckDeliveries, [first, first, first, second, third])
        assert.ok(recorded.handled.indexOf(free[2]!.id) < recorded.handled.indexOf(first!), 'the free key was faster')
      }),
  },
  {
    name: 'fifty messages behind a failing one of their key leave room for other keys',
    needs: ['ordersRetries'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const stuck = messagesTo(topic, 51, () => ({ orderingKey: 'stuck' }))
        const free = messagesTo(topic, 3, () => ({ orderingKey: 'free' }))
        const isFreeHandled = (): boolean => free.every(({ id }) => recorded.handled.includes(id))
        const recorded: Recording = recording(({ message }) => {
          if (message.id === stuck[0]?.id && !isFreeHandled()) throw new Error('not yet')
        })

        await harness.send(stuck)
        await harness.send(free) // One after the other: publishers mix the keys of one batch.
        await consume(topic, { handler: recorded.handler, backoff: () => 200, maxAttempts: 100_000 })
        await untilHandled(harness, recorded, [...stuck, ...free])

        assert.deepEqual(recorded.handled.slice(0, free.length), ids(free))
        assert.deepEqual(recorded.handled.slice(free.length), ids(stuck))
      }),
  },
  {
    name: 'two consumers never handle messages of one key at the same time, and keep its order',
    needs: ['ordersAcrossConsumers'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 40, overKeys(4))
        const recorded = recording(() => systemClock.sleep(8))

        await consume(topic, { handler: recorded.handler })
        await consume(topic, { handler: recorded.handler })
        await harness.send(messages)
        await untilHandled(harness, recorded, messages)

        assert.deepEqual([...recorded.overlappingKeys], [])
        assertFirstInOrder(recorded, messages)
      }),
  },
  {
    name: 'a consumer that joins in the middle of a batch loses nothing, and each key keeps its order',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 40, overKeys(8))
        const mayGoOn = gate()
        const recorded = recording(() => mayGoOn.passed)

        await harness.send(messages)
        await consume(topic, { handler: recorded.handler, concurrency: 4 })
        await eventually(() => assert.ok(recorded.running > 0), harness)
        await consume(topic, { handler: recorded.handler, concurrency: 4 })
        mayGoOn.open()
        await untilHandled(harness, recorded, messages, harness.redeliveryMs)

        if (harness.ordersAcrossConsumers === true) assertFirstInOrder(recorded, messages)
      }),
  },
  {
    name: 'never more handlers run than the concurrency allows',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const messages = messagesTo(topic, 60)
        const recorded = recording(() => systemClock.sleep(3))

        await harness.send(messages)
        await consume(topic, { handler: recorded.handler, concurrency: 3 })
        await untilHandled(harness, recorded, messages)

        assert.equal(recorded.maxRunning, 3, 'as many as allowed, and no more')
      }),
  },
  {
    name: 'while handlers are busy the consumer takes only a bounded number of messages from the broker',
    needs: ['unacknowledged'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const concurrency = 4
        const most = Math.max(2 * concurrency + 10, harness.maxTaken ?? 0)
        const messages = messagesTo(topic, most + 50)
        const mayGoOn = gate()
        const recorded = recording(() => mayGoOn.passed)

        await harness.send(messages)
        await consume(topic, { handler: recorded.handler, concurrency })
        await eventually(() => assert.equal(recorded.running, concurrency), harness)
        const taken = await harness.unacknowledged!(topic)
        mayGoOn.open()
        await untilHandled(harness, recorded, messages)

        assert.ok(taken >= concurrency, `unacknowledged() sees what is running: ${String(taken)}`)
        assert.ok(taken <= most, `${String(taken)} messages taken for ${String(concurrency)} handlers`)
      }),
  },
]

/** Every key's first deliveries are in the order its messages were sent. */
function assertFirstInOrder(recorded: Recording, messages: readonly OutboxMessage[]): void {
  const firsts = [...new Set(deliveredIds(recorded))]
  for (const key of new Set(messages.map((message) => message.orderingKey))) {
    const sent = ids(messages.filter((message) => message.orderingKey === key))
    assert.deepEqual(
      firsts.filter((id) => sent.includes(id)),
      sent,
      `order of ${String(key)}`,
    )
  }
}
