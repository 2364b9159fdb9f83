import { connect } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { deadLetterQueueOf, redriveDeadLetters } from '../src/index.ts'
import { uniqueName, withChannel } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')

/** RabbitMQ 4 gives it to every quorum queue that was made without one, and drops a letter that was given back more often. */
const deliveryLimit = 20

describe.skipIf(url === '')('a dry run of bringing dead letters back', () => {
  it('has given all of them back when it answers, in order, and more often than a delivery limit allows', async () => {
    const [queue, letters, runs] = [uniqueName('queue'), ['a', 'b', 'c'], 30]
    const deadLetterQueue = deadLetterQueueOf(queue)
    const [counts, left] = await withChannel(url, async (channel) => {
      const args = { 'x-queue-type': 'quorum', 'x-delivery-limit': deliveryLimit }
      await channel.assertQueue(deadLetterQueue, { arguments: args })
      for (const letter of letters) channel.sendToQueue(deadLetterQueue, Buffer.from(letter))
      const depth = async (): Promise<number> => (await channel.checkQueue(deadLetterQueue)).messageCount
      await expect.poll(depth).toBe(letters.length)
      const depths: number[] = []
      for (let run = 0; run < runs; run++) {
        await redriveDeadLetters({ connect: () => connect(url), queue, dryRun: true })
        depths.push(await depth())
      }
      const found: string[] = []
      for (const _ of letters) found.push(String(((await channel.get(deadLetterQueue)) || null)?.content))
      return [depths, found] as const
    })

    expect(counts).toEqual(Array(runs).fill(letters.length))
    expect(left).toEqual(letters)
  })
})
