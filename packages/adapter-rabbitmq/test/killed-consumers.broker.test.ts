import type { DeadLetterNote } from '@malote/outbox-core'
import { eventually } from '@malote/outbox-core/testing'
import { connect } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { deadLetterNoteOf, deadLetterQueueOf, redriveDeadLetters, type RedriveReport } from '../src/index.ts'
import { RabbitmqConsumers } from './rabbitmq-consumers.ts'
import { lookAt } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')

describe.skipIf(url === '')('a RabbitMQ consumer behind others that were killed', () => {
  let rabbitmq: RabbitmqConsumers

  beforeAll(() => {
    rabbitmq = new RabbitmqConsumers(url)
  })
  afterEach(() => rabbitmq.stop())
  afterAll(() => rabbitmq.close())

  it('is given in order what more processes had taken and were killed than RabbitMQ 4 lets by itself', async () => {
    const queue = await rabbitmq.topology({})
    const sent = await rabbitmq.send(queue, { orderingKey: 'k' }, { orderingKey: 'k' })

    const connection = await connect(url)
    for (let kill = 0; kill < 22; kill++) {
      const channel = await connection.createChannel()
      const { promise: both, resolve } = Promise.withResolvers<void>()
      let taken = 0
      await channel.consume(queue, () => void (++taken === sent.length && resolve()))
      await both
      await channel.close() // The broker gives back what was taken, as for a connection that is gone.
    }
    await connection.close()
    const { deliveries } = await rabbitmq.consume(queue, {})

    await eventually(() => expect(deliveries).toHaveLength(sent.length))
    expect(deliveries.map(({ message }) => message.id)).toEqual(sent.map(({ id }) => id))
  })

  it('with a delivery limit is given a message that kills only so often; it is put away with the reason and can be brought back', async () => {
    const queue = await rabbitmq.topology({ deliveryLimit: 2 })
    const [message] = await rabbitmq.send(queue, {})
    const attempts: number[] = []

    for (let kill = 0; kill < 3; kill++)
      await rabbitmq.takenByOneThatIsKilled(queue, ({ attempt }) => {
        attempts.push(attempt)
        return new Promise(() => {}) // As a killed process: it never ends.
      })
    await eventually(async () => expect(await rabbitmq.depthOf(deadLetterQueueOf(queue))).toBe(1))
    const notes = (): Promise<(DeadLetterNote | null)[]> => lookAt(url, deadLetterQueueOf(queue), deadLetterNoteOf)
    const reason = { reason: 'DELIVERY_LIMIT', source: queue, topic: queue }
    const noted = await notes()
    const redrive = (where: (note: DeadLetterNote | null) => boolean): Promise<RedriveReport> =>
      redriveDeadLetters({ connect: () => connect(url), queue, where })
    // One that stays is put behind the others, which takes RabbitMQ's own words off it.
    expect(await redrive((note) => note?.reason === 'POISON')).toEqual({ redriven: 0, kept: 1 })
    await eventually(async () => expect(await notes()).toMatchObject([reason]))
    expect(await redrive((note) => note?.reason === 'DELIVERY_LIMIT')).toEqual({ redriven: 1, kept: 0 })
    const { deliveries } = await rabbitmq.consume(queue, {})

    await eventually(() => expect(deliveries).toHaveLength(1))
    expect(attempts).toEqual([1, 2, 3])
    expect(noted).toMatchObject([reason])
    expect(deliveries[0]).toMatchObject({ attempt: 1, message: { id: message?.id, topic: queue } })
  })
})
