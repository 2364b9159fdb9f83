import type { DeadLetterNote } from '@malote/outbox-core'
import { PermanentFailure } from '@malote/outbox-core'
import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import { type Channel, connect, type GetMessage } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import {
  createRabbitmqConsumer,
  createRabbitmqPublisher,
  deadLetterNoteOf,
  deadLetterQueueOf,
  redriveDeadLetters,
} from '../src/index.ts'
import { retryQueueOf, type Route } from '../src/topology.ts'
import { uniqueName, withChannel } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')
const delayMs = 300
const waitMs = 3_000

type Reason = 'rejected' | 'expired' | 'maxlen'

/** A queue that its owner made with limits of RabbitMQ's own, and one retry queue. */
async function aQueue(reason: Reason): Promise<string> {
  const queue = uniqueName(reason)
  const limits = { rejected: {}, expired: { 'x-message-ttl': waitMs }, maxlen: { 'x-max-length': 1 } }[reason]
  const to = (name: string): Record<string, unknown> => ({
    'x-queue-type': 'quorum',
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': name,
  })
  await withChannel(url, async (channel) => {
    await channel.assertQueue(deadLetterQueueOf(queue), { arguments: { 'x-queue-type': 'quorum' } })
    await channel.assertQueue(queue, { arguments: { ...to(deadLetterQueueOf(queue)), ...limits } })
    await channel.assertQueue(retryQueueOf(queue, delayMs), { arguments: { ...to(queue), 'x-message-ttl': delayMs } })
  })
  return queue
}

async function send(queue: string): Promise<string> {
  const message = anOutboxMessage({ topic: queue, orderingKey: null })
  const route = (): Route => ({ exchange: '', routingKey: queue })
  const publisher = createRabbitmqPublisher({ connect: () => connect(url), source: '/tests', route })
  const results = await publisher.publish([message], AbortSignal.timeout(60_000))
  await publisher.close()
  expect(results).toMatchObject([{ status: 'accepted' }])
  return message.id
}

/** Takes the message out of the queue when it is there. */
async function taken(channel: Channel, queue: string): Promise<GetMessage> {
  let found: GetMessage | false = false
  await eventually(async () => {
    found = await channel.get(queue)
    expect(found).not.toBe(false)
  })
  return found as unknown as GetMessage
}

/** RabbitMQ itself puts the message into the queue for dead letters, past every consumer. */
async function putAwayByBroker(queue: string, reason: Reason): Promise<void> {
  await withChannel(url, async (channel) => {
    if (reason === 'rejected') channel.nack(await taken(channel, queue), false, false)
    if (reason === 'maxlen') {
      await eventually(async () => expect((await channel.checkQueue(queue)).messageCount).toBe(1))
      channel.sendToQueue(queue, Buffer.from('{}'))
    }
    await eventually(async () => expect((await channel.checkQueue(deadLetterQueueOf(queue))).messageCount).toBe(1))
  })
}

/** As a shovel or the console moves messages: with every header they have. */
async function movedByForeignTool(queue: string): Promise<GetMessage> {
  return await withChannel(url, async (channel) => {
    const letter = await taken(channel, deadLetterQueueOf(queue))
    channel.sendToQueue(queue, letter.content, letter.properties)
    channel.ack(letter)
    await channel.checkQueue(queue)
    return letter
  })
}

/** Fails every message, until `times` calls were seen and what failed last lies in the retry queue or is back from it. */
async function failing(queue: string, error: Error, times: number): Promise<void> {
  let waits = 0
  const consumer = createRabbitmqConsumer({
    connect: () => connect(url),
    queue,
    // Missing, so that a letter waits.
    deadLetterQueue: uniqueName('nowhere'),
    retryDelaysMs: [delayMs],
    backoff: () => delayMs,
    handler: () => Promise.reject(error),
    onEvent: ({ type }) => {
      if (type === 'message.dead-letter-failed' || type === 'message.failed') waits++
    },
  })
  await consumer.start()
  await eventually(() => expect(waits).toBeGreaterThanOrEqual(times))
  await consumer.stop()
}

/** The attempt the handler was told of the message that comes back meanwhile. */
async function handled(queue: string, id: string, bringBack: () => Promise<unknown>): Promise<number> {
  const attempts: number[] = []
  const consumer = createRabbitmqConsumer({
    connect: () => connect(url),
    queue,
    retryDelaysMs: [delayMs],
    handler: ({ message, attempt }) => {
      if (message.id === id) attempts.push(attempt)
      return Promise.resolve()
    },
    onEvent: () => {},
  })
  await consumer.start()
  await bringBack()
  await eventually(() => expect(attempts).not.toEqual([]))
  await consumer.stop()
  return attempts[0] ?? 0
}

// Side by side: they mostly wait for the broker.
describe.skipIf(url === '').concurrent('a message that RabbitMQ itself put away', () => {
  describe.each(['rejected', 'expired', 'maxlen'] as const)('(%s)', (reason) => {
    it('while its letter waited is handled again when a foreign tool brings it back', async () => {
      const queue = await aQueue(reason)
      const id = await send(queue)
      await failing(queue, new PermanentFailure('never'), 1)
      await putAwayByBroker(queue, reason)

      let letter: GetMessage | null = null
      const attempt = await handled(queue, id, async () => {
        letter = await movedByForeignTool(queue)
      })

      expect(attempt).toBe(1)
      // RabbitMQ's list still names our retry queue, behind the way the message went last.
      expect(letter).toHaveProperty('properties.headers.x-death', [
        expect.objectContaining({ queue, reason }),
        expect.objectContaining({ queue: retryQueueOf(queue, delayMs), reason: 'expired' }),
      ])
    })

    it('between its attempts starts with a full count when a foreign tool brings it back', async () => {
      const queue = await aQueue(reason)
      const id = await send(queue)
      await failing(queue, new Error('not yet'), 2)
      await putAwayByBroker(queue, reason)

      expect(await handled(queue, id, () => movedByForeignTool(queue))).toBe(1)
    })
  })

  it('keeps the reason of the letter that waited, and goes back by it', async () => {
    const queue = await aQueue('rejected')
    const id = await send(queue)
    await failing(queue, new PermanentFailure('never'), 1)
    await putAwayByBroker(queue, 'rejected')
    const notes: (DeadLetterNote | null)[] = []
    await withChannel(url, async (channel) => {
      notes.push(deadLetterNoteOf(await taken(channel, deadLetterQueueOf(queue))))
    })

    const where = (note: DeadLetterNote | null): boolean => note?.reason === 'PERMANENT'
    const redrive = () => redriveDeadLetters({ connect: () => connect(url), queue, where })

    expect(notes).toMatchObject([{ reason: 'PERMANENT', attempts: 1, source: queue, topic: queue }])
    expect(await handled(queue, id, async () => expect(await redrive()).toEqual({ redriven: 1, kept: 0 }))).toBe(1)
  })
})
