import { PermanentFailure } from '@malote/outbox-core'
import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import { connect } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import {
  assertTopology,
  createRabbitmqConsumer,
  createRabbitmqPublisher,
  deadLetterNoteOf,
  deadLetterQueueOf,
} from '../src/index.ts'
import { exchange, uniqueName, withChannel } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')

describe.skipIf(url === '')('dead letters whose queue is away', () => {
  it('leave the prefetch and their key to the messages behind them, and arrive when the queue is back', async () => {
    const queue = uniqueName('letters')
    await withChannel(url, (channel) => assertTopology(channel, { exchange, queue, topics: [queue] }))
    const deadLetterQueue = deadLetterQueueOf(queue)
    await withChannel(url, (channel) => channel.deleteQueue(deadLetterQueue))
    const publisher = createRabbitmqPublisher({ connect: () => connect(url), source: '/tests', exchange })
    const doomed = Array.from({ length: 12 }, () => anOutboxMessage({ topic: queue, orderingKey: 'k' }))
    const good = anOutboxMessage({ topic: queue, orderingKey: 'k' })
    await publisher.publish([...doomed, good], AbortSignal.timeout(60_000))
    const calls: string[] = []
    const consumer = createRabbitmqConsumer({
      connect: () => connect(url),
      queue,
      concurrency: 2,
      prefetch: 4,
      handler: async ({ message }) => {
        calls.push(message.id)
        if (message.id !== good.id) throw new PermanentFailure('never')
      },
    })
    await consumer.start()

    await eventually(() => expect(calls).toContain(good.id))
    await withChannel(url, (channel) =>
      channel.assertQueue(deadLetterQueue, { arguments: { 'x-queue-type': 'quorum' } }),
    )
    await eventually(() =>
      withChannel(url, async (channel) =>
        expect((await channel.checkQueue(deadLetterQueue)).messageCount).toBe(doomed.length),
      ),
    )

    const letters = await withChannel(url, (channel) =>
      Promise.all(doomed.map(() => channel.get(deadLetterQueue, { noAck: true }))),
    )
    const notes = letters.flatMap((letter) => (letter === false ? [] : [deadLetterNoteOf(letter)]))
    const ids = letters.flatMap((letter) => (letter === false ? [] : [String(letter.properties.messageId)]))
    expect(ids.toSorted()).toEqual(doomed.map(({ id }) => id).toSorted())
    expect(notes.map((note) => [note?.reason, note?.attempts, note?.topic, note?.source])).toEqual(
      doomed.map(() => ['PERMANENT', 1, queue, queue]),
    )
    // Each handler was called once: a letter that comes back is not tried again.
    expect(calls).toHaveLength(doomed.length + 1)
    await Promise.all([consumer.stop(), publisher.close()])
  })
})
