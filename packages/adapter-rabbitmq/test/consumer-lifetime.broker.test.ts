import type { Delivery } from '@malote/outbox-core'
import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import { connect } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createRabbitmqConsumer, createRabbitmqPublisher, type RabbitmqConsumerOptions } from '../src/index.ts'
import { RabbitmqConsumers } from './rabbitmq-consumers.ts'
import { exchange, uniqueName, withChannel } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')

describe.skipIf(url === '')('a RabbitMQ consumer that comes and goes', () => {
  let rabbitmq: RabbitmqConsumers

  beforeAll(() => {
    rabbitmq = new RabbitmqConsumers(url)
  })
  afterEach(() => rabbitmq.stop())
  afterAll(() => rabbitmq.close())

  it('goes on when its queue was deleted and is there again', async () => {
    const queue = await rabbitmq.topology({})
    const { deliveries, events } = await rabbitmq.consume(queue, { reconnectBackoff: () => 50 })

    await withChannel(url, (channel) => channel.deleteQueue(queue))
    await eventually(() => expect(events).toContain('consumer.disconnected'))
    await rabbitmq.topology({ queue })
    await eventually(() => expect(events).toContain('consumer.reconnected'))
    await rabbitmq.send(queue, {})

    await eventually(() => expect(deliveries).toHaveLength(1))
  })

  it('starts when its queue is there, however long that takes', async () => {
    const queue = uniqueName('late')
    const { events, started } = rabbitmq.prepare(queue, { reconnectBackoff: () => 50 })
    const starting = started()
    await eventually(() => expect(events).toContain('consumer.disconnected'))

    await rabbitmq.topology({ queue })

    await starting
    expect(events.at(-1)).toBe('consumer.started')
  })

  it("refuses amqplib's own recovery, and so does the publisher", async () => {
    const recovering = (async () => connect(url, { recovery: true })) as unknown as RabbitmqConsumerOptions['connect']
    const handler = () => Promise.resolve()
    const consumer = createRabbitmqConsumer({ connect: recovering, queue: 'any', handler })
    const refused = createRabbitmqPublisher({ connect: recovering, source: '/tests', exchange })

    await expect(consumer.start()).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('recovery'),
    })
    const publishing = refused.publish([anOutboxMessage()], new AbortController().signal)
    await expect(publishing).rejects.toMatchObject({ code: 'INVALID_OPTION' })
    await Promise.all([consumer.stop(), refused.close()])
  })

  it('stopped before it could connect, rejects its start', async () => {
    const { consumer, started } = rabbitmq.prepare(uniqueName('never'), { reconnectBackoff: () => 50 })
    const starting = started()

    await Promise.all([
      expect(starting).rejects.toMatchObject({ code: 'CONSUMER_STATE' }),
      consumer.stop({ graceMs: 100 }),
    ])
  })

  it('hands the queue to one consumer after the other, with nothing of a key out of order', async () => {
    const queue = await rabbitmq.topology({})
    const sent = await rabbitmq.send(queue, ...Array.from({ length: 20 }, () => ({ orderingKey: 'k' })))
    const handled: string[] = []
    const remember = ({ message }: Delivery): void => void handled.push(message.id)

    const first = await rabbitmq.consume(queue, {}, async (delivery) => {
      remember(delivery)
      if (handled.length === 5) void first.consumer.stop()
    })
    await rabbitmq.consume(queue, {}, remember)

    // A hand-over may repeat a message: the order of their first deliveries is what is promised.
    await eventually(() => expect(new Set(handled).size).toBe(20))
    expect([...new Set(handled)]).toEqual(sent.map((message) => message.id))
  })

  it('its topology may be asserted again and again', async () => {
    const queue = await rabbitmq.topology({})

    await expect(rabbitmq.topology({ queue })).resolves.toBe(queue)
  })
})
