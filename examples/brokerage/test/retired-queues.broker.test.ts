import { assertTopology } from '@malote/adapter-rabbitmq'
import { type ChannelModel, connect } from 'amqplib'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { prepareRabbitmq } from '../src/messaging/rabbitmq.ts'

let connection: ChannelModel
beforeAll(async () => {
  connection = await connect(inject('rabbitmqUrl'))
})
afterAll(() => connection.close())

/** How many messages wait in a queue; null when it does not exist, which the broker says by closing the channel. */
async function waitingIn(queue: string): Promise<number | null> {
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  try {
    const { messageCount } = await channel.checkQueue(queue)
    await channel.close()
    return messageCount
  } catch {
    return null
  }
}

it('a queue of an earlier release gets no more messages once the broker is prepared, and is deleted when it has been emptied', async () => {
  const url = inject('rabbitmqUrl')
  const channel = await connection.createConfirmChannel()
  const queue = 'projection-queue'
  const publish = async () => {
    channel.publish('brokerage', 'order-requests', Buffer.from('{}'))
    await channel.waitForConfirms()
  }
  await assertTopology(channel, { exchange: 'brokerage', queue, topics: ['order-requests', 'order-results'] })
  await publish()
  expect(await waitingIn(queue)).toBe(1)

  await prepareRabbitmq(url)
  await channel.purgeQueue('listener-queue')
  await publish()
  const left = [await waitingIn(queue), await waitingIn('listener-queue')]
  await channel.purgeQueue(queue)
  await prepareRabbitmq(url)
  const emptied = await waitingIn(queue)
  await prepareRabbitmq(url)

  expect(left).toEqual([1, 1])
  expect(emptied).toBeNull()
  await channel.close()
})
