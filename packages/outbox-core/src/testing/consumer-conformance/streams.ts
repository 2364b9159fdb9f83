import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import { systemClock } from '../../clock.ts'
import type { Delivery } from '../../consumer.ts'
import { PermanentFailure } from '../../errors.ts'
import { inBatches } from '../../in-batches.ts'
import type { OutboxMessage } from '../../message.ts'
import type { StreamHandler } from '../../stream-handler.ts'
import type { ConformanceCase } from '../conformance.ts'
import { eventually } from '../eventually.ts'
import type { ConsumerHarness } from './harness.ts'
import { ids, untilDeadLetters, watch, withConsumers } from './steps.ts'

type Case = ConformanceCase<ConsumerHarness>

/** Handlers that take what waits of a stream together. */
export const streamCases: readonly Case[] = [
  {
    name: 'what waits of one stream comes in one ordered batch within its limits, and no stream is in two batches at once',
    needs: ['takesStreamsInBatches'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const record = recordingBatches(() => systemClock.sleep(10), { maxSize: 4, maxBytes: 2_000 })
        const sent: OutboxMessage[] = []
        const batches = (): number => record.calls.filter(({ length }) => length > 1).length
        const send = async (): Promise<void> => {
          const some = messagesTo(topic, 24, (at) => ({
            orderingKey: at % 6 === 5 ? 'cold' : 'hot',
            body: JSON.stringify({ at, filler: 'x'.repeat(at === 8 ? 2_500 : 300) }),
          }))
          sent.push(...some)
          await harness.send(some)
        }

        await send()
        await consume(topic, { handler: record.handler })
        // How many come together is the broker's choice: it is asked until some do.
        await eventually(
          async () => {
            if (batches() > 2) return
            await send()
            assert.fail('no batch yet')
          },
          { patienceMs: harness.patienceMs, intervalMs: 500 },
        )
        await untilApplied(harness, record, sent)

        assert.deepEqual([...record.overlapping], [], 'streams in two batches at once')
        for (const call of record.calls) {
          assert.equal(new Set(call.map(({ message }) => message.orderingKey)).size, 1, 'streams in one batch')
          assert.ok(call.length <= 4, `${String(call.length)} messages in a batch of four`)
          const bytes = call.reduce((sum, { message }) => sum + message.body.byteLength, 0)
          assert.ok(call.length === 1 || bytes <= 2_000, `${String(bytes)} bytes in a batch of 2,000`)
        }
        if (harness.ordersByKey === true) assertAppliedInOrder(record, sent)
      }),
  },
  {
    name: 'a batch that fails costs nobody an attempt: its messages come one by one in order, and only the failing one is dead-lettered',
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const sent = messagesTo(topic, 24, (at) => ({ orderingKey: at % 6 === 5 ? 'cold' : 'hot' }))
        const [bad, single] = [sent[7]?.id, sent[14]?.id]
        const record = recordingBatches(({ message }, { length }) => {
          if (message.id === bad) throw new PermanentFailure('never')
          if (message.id === single && length > 1) throw new Error('not together with others')
        })
        const watched = watch()
        const good = sent.filter(({ id }) => id !== bad)

        await harness.send(sent)
        await consume(topic, { handler: record.handler, maxAttempts: 1, onEvent: watched.onEvent })
        await untilApplied(harness, record, good)
        const [letter] = await untilDeadLetters(harness, topic, 1)

        assert.equal(letter?.id, bad)
        assert.equal(letter?.note?.attempts ?? 1, 1)
        assert.deepEqual(watched.of('message.failed'), [], 'nobody paid')
        assert.equal(new Set(record.applied).size, record.applied.length, 'applied once')
        if (harness.ordersByKey === true) assertAppliedInOrder(record, good)
      }),
  },
]

/** What a handler of batches was given and applied. */
export interface BatchRecord {
  readonly handler: StreamHandler
  readonly calls: readonly (readonly Delivery[])[]
  /** Ids in the order they were applied: all of a call or none. */
  readonly applied: readonly string[]
  /** Keys that once had two calls at the same time. */
  readonly overlapping: ReadonlySet<string>
}

export function recordingBatches(
  work: (delivery: Delivery, call: readonly Delivery[]) => unknown,
  limits: { readonly maxSize?: number; readonly maxBytes?: number } = {},
): BatchRecord {
  const calls: (readonly Delivery[])[] = []
  const applied: string[] = []
  const running = new Set<string>()
  const overlapping = new Set<string>()
  const run = async (call: readonly Delivery[]): Promise<void> => {
    const key = call[0]?.message.orderingKey ?? call[0]?.message.id ?? ''
    calls.push(call)
    if (running.has(key)) overlapping.add(key)
    running.add(key)
    try {
      await Promise.all(call.map(async (delivery) => work(delivery, call)))
      applied.push(...ids(call.map(({ message }) => message)))
    } finally {
      running.delete(key)
    }
  }
  return { handler: inBatches(run, { byStream: true, ...limits }), calls, applied, overlapping }
}

export function untilApplied(
  harness: ConsumerHarness,
  record: BatchRecord,
  sent: readonly OutboxMessage[],
  extraMs = 0,
): Promise<void> {
  return eventually(
    () => {
      const missing = ids(sent).filter((id) => !record.applied.includes(id))
      assert.equal(missing.length, 0, `${String(missing.length)} of ${String(sent.length)} messages not applied`)
    },
    { patienceMs: harness.patienceMs + extraMs },
  )
}

function assertAppliedInOrder({ applied }: BatchRecord, sent: readonly OutboxMessage[]): void {
  for (const key of new Set(sent.map(({ orderingKey }) => orderingKey))) {
    const wanted = ids(sent.filter(({ orderingKey }) => orderingKey === key))
    const found = [...new Set(applied)].filter((id) => wanted.includes(id))
    assert.deepEqual(found, wanted, `order of ${String(key)}`)
  }
}
