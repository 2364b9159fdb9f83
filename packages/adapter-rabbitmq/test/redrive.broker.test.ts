import { connect } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { deadLetterQueueOf, redriveDeadLetters } from '../src/index.ts'
import { uniqueName, withChannel } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')

describe.skipIf(url === '')('a dry run of bringing dead letters back', () => {
  it('has given them back when it answers, so that a run which follows at once finds them all', async () => {
    const [queue, letters, runs] = [uniqueName('queue'), 3, 30]
    const deadLetterQueue = deadLetterQueueOf(queue)
    const found = await withChannel(url, async (channel) => {
      await channel.assertQueue(deadLetterQueue, { arguments: { 'x-queue-type': 'quorum' } })
      for (let letter = 0; letter < letters; letter++) channel.sendToQueue(deadLetterQueue, Buffer.from('{}'))
      await expect.poll(async () => (await channel.checkQueue(deadLetterQueue)).messageCount).toBe(letters)
      const counts: number[] = []
      for (let run = 0; run < runs; run++) {
        await redriveDeadLetters({ connect: () => connect(url), queue, dryRun: true })
        counts.push((await channel.checkQueue(deadLetterQueue)).messageCount)
      }
      return counts
    })

    expect(found).toEqual(Array(runs).fill(letters))
  })
})
