import { fileURLToPath } from 'node:url'
import { deadLetterHeader, type DeadLetterNote } from '@malote/outbox-core'
import { eventually } from '@malote/outbox-core/testing'
import { maloteIn } from '@malote/testing/malote-command'
import { describe, expect, inject, it } from 'vitest'
import { assertTopology, deadLetterQueueOf } from '../src/index.ts'
import { exchange, uniqueName, withChannel } from './rabbitmq-harness.ts'

/** Where this package and amqplib are installed. */
const malote = maloteIn(fileURLToPath(new URL('..', import.meta.url)))

describe.skipIf(inject('rabbitmqUrl') === '')('malote redrive', () => {
  it('brings back what its terms name, after it was told yes, and leaves the rest', async () => {
    const url = inject('rabbitmqUrl')
    const queue = uniqueName('orders')
    const reasons: readonly DeadLetterNote['reason'][] = ['MAX_ATTEMPTS', 'PERMANENT', 'MAX_ATTEMPTS']
    await withChannel(url, async (channel) => {
      await assertTopology(channel, { exchange, queue, topics: [queue], retryDelaysMs: [] })
      for (const reason of reasons) {
        const note: DeadLetterNote = { reason, attempts: 5, error: 'E', source: queue, topic: queue, at: 'now' }
        channel.sendToQueue(deadLetterQueueOf(queue), Buffer.from('{}'), {
          headers: { [deadLetterHeader]: JSON.stringify(note) },
        })
      }
      await channel.checkQueue(deadLetterQueueOf(queue)) // Closing overtakes what was not answered.
    })
    const waiting = (name: string) => withChannel(url, async (channel) => (await channel.checkQueue(name)).messageCount)
    await eventually(async () => expect(await waiting(deadLetterQueueOf(queue))).toBe(3))
    const words = ['redrive', '--broker', 'rabbitmq', '--url', url, '--from', deadLetterQueueOf(queue)]
    const some = [...words, '--where', 'reason=MAX_ATTEMPTS', 'error=E']

    expect(await malote(...some, '--dry-run')).toMatchObject({ code: 0, stdout: 'would bring back 2, left 1\n' })
    expect(await malote(...some)).toMatchObject({ code: 2 }) // Nobody is there to ask.
    expect(await malote(...words, '--where', 'colour=red', '--yes')).toMatchObject({ code: 2 })
    await eventually(async () => expect(await waiting(deadLetterQueueOf(queue))).toBe(3))
    expect(await malote(...some, '--yes')).toMatchObject({ code: 0, stdout: 'brought back 2, left 1\n' })

    await eventually(async () => {
      expect(await waiting(queue)).toBe(2)
      expect(await waiting(deadLetterQueueOf(queue))).toBe(1)
    })
  })
})
