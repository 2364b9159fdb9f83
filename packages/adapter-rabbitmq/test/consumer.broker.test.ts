import { eventually } from '@malote/outbox-core/testing'
import type { Delivery } from '@malote/outbox-core'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { deadLetterQueueOf, retryQueueOf } from '../src/index.ts'
import { RabbitmqConsumers } from './rabbitmq-consumers.ts'
import { uniqueName, withChannel } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')

describe.skipIf(url === '')('a RabbitMQ consumer', () => {
  let rabbitmq: RabbitmqConsumers

  beforeAll(() => {
    rabbitmq = new RabbitmqConsumers(url)
  })
  afterEach(() => rabbitmq.stop())
  afterAll(() => rabbitmq.close())

  it('sends a failed message without a key through a retry queue, its topic and attempts with it', async () => {
    const slow = await rabbitmq.topology({ retryDelaysMs: [600_000] }) // There it stays until somebody has looked.
    await rabbitmq.send(slow, {})
    await rabbitmq.consume(slow, { retryDelaysMs: [600_000], backoff: () => 600_000 }, failOnce)
    await eventually(async () => expect(await rabbitmq.depthOf(retryQueueOf(slow, 600_000))).toBe(1))

    const queue = await rabbitmq.topology({ retryDelaysMs: [400] })
    const [message] = await rabbitmq.send(queue, {})
    const { deliveries } = await rabbitmq.consume(queue, { retryDelaysMs: [400], backoff: () => 400 }, failOnce)
    await eventually(() => expect(deliveries).toHaveLength(2))

    expect(deliveries.map((delivery) => delivery.attempt)).toEqual([1, 2])
    expect(deliveries[1]?.message).toMatchObject({ id: message?.id, topic: queue, type: message?.type, headers: {} })
  })

  it('acknowledges many messages at once and never one that is still in hand', async () => {
    const queue = await rabbitmq.topology({})
    await rabbitmq.send(queue, ...Array.from({ length: 30 }, () => ({})))
    const { consumer, events } = await rabbitmq.consume(queue, { concurrency: 30 }, ({ signal }, count) =>
      count === 10 ? new Promise((_, reject) => signal.addEventListener('abort', reject)) : undefined,
    )
    await eventually(() => expect(events.filter((type) => type === 'message.handled')).toHaveLength(29))

    await consumer.stop({ graceMs: 0 })

    await eventually(async () => expect(await rabbitmq.depthOf(queue)).toBe(1))
  })

  it('keeps a failed message with a key to itself, so that its key waits', async () => {
    const queue = await rabbitmq.topology({ retryDelaysMs: [150] })
    const sent = await rabbitmq.send(queue, { orderingKey: 'k' }, { orderingKey: 'k' })
    const { deliveries } = await rabbitmq.consume(queue, { retryDelaysMs: [150], backoff: () => 150 }, failOnce)

    await eventually(() => expect(deliveries).toHaveLength(3))

    expect(deliveries.map((delivery) => delivery.message.id)).toEqual([sent[0]?.id, sent[0]?.id, sent[1]?.id])
  })

  it('waits in place where the retry queue is missing', async () => {
    const queue = await rabbitmq.topology({ retryDelaysMs: [] })
    await rabbitmq.send(queue, {})
    const { deliveries } = await rabbitmq.consume(queue, { retryDelaysMs: [50], backoff: () => 50 }, failOnce)

    await eventually(() => expect(deliveries.map((delivery) => delivery.attempt)).toEqual([1, 2]))
  })

  it('carries out no instruction of a foreign producer again when it moves the message', async () => {
    const [queue, copied] = [await rabbitmq.topology({ retryDelaysMs: [50] }), await rabbitmq.topology({})]
    const headers = {
      'cloudEvents:id': uniqueName('id'),
      'cloudEvents:type': 'order.accepted',
      CC: [copied],
      BCC: [copied],
    }
    await withChannel(url, async (channel) => {
      channel.sendToQueue(queue, Buffer.from('{}'), { headers })
      await channel.checkQueue(queue)
    })
    const { deliveries } = await rabbitmq.consume(
      queue,
      { retryDelaysMs: [50], backoff: () => 50, maxAttempts: 2 },
      () => {
        throw new Error('never')
      },
    )

    await eventually(async () => expect(await rabbitmq.depthOf(deadLetterQueueOf(queue))).toBe(1))

    expect(deliveries).toHaveLength(2)
    // What RabbitMQ did itself when the producer sent it, for CC and BCC together.
    expect(await rabbitmq.depthOf(copied)).toBe(1)
  })
})

function failOnce(_delivery: Delivery, count: number): void {
  if (count === 1) throw new Error('not yet')
}
