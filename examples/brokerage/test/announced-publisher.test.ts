import type { OutboxMessage, Publisher } from '@malote/outbox-core'
import { describe, expect, it } from 'vitest'
import type { HoldPoint } from '../src/process/run-role.ts'
import { announcePublishes } from '../src/relay/announced-publisher.ts'

const aMessage = (id: string, orderingKey: string | null): OutboxMessage => ({
  id,
  topic: 't',
  type: 'x',
  orderingKey,
  headers: {},
  body: '{}',
  contentType: 'application/json',
  createdAt: new Date(0),
  attempt: 1,
})

function setup() {
  const told: string[] = []
  const inner: Publisher = {
    name: 'inner',
    publish: async (batch) => {
      told.push('sent')
      return batch.map(({ id }) => ({ id, status: 'accepted' as const }))
    },
    close: async () => {},
  }
  let announced: (at: HoldPoint) => void = () => {}
  const whenAnnounced = new Promise<HoldPoint>((resolve) => (announced = resolve))
  const publisher = announcePublishes(inner, (at) => {
    told.push(at)
    announced(at)
  })
  const publish = (...batch: OutboxMessage[]) => publisher.publish(batch, new AbortController().signal)
  return { told, publisher, publish, whenAnnounced }
}

describe('an announced publish', () => {
  it('passes through untouched when nobody waits for it', async () => {
    const { told, publish } = setup()

    expect(await publish(aMessage('a', null))).toEqual([{ id: 'a', status: 'accepted' }])
    expect(told).toEqual(['sent'])
  })

  it('stops after the broker accepted and before the relay knows', async () => {
    const { told, publisher, publish, whenAnnounced } = setup()
    publisher.holdNext('publish-accepted')

    const publishing = publish(aMessage('a', null))
    await whenAnnounced

    expect(told).toEqual(['sent', 'publish-accepted'])
    expect(await Promise.race([publishing, Promise.resolve('still held')])).toBe('still held')
  })

  it('lets a batch of ordered messages go by: a FIFO queue would absorb its repeat', async () => {
    const { told, publisher, publish } = setup()
    publisher.holdNext('publish-accepted')

    await publish(aMessage('a', 'k'))

    expect(told).toEqual(['sent'])
  })

  it('stops while a batch is on its way', async () => {
    const { told, publisher, publish, whenAnnounced } = setup()
    publisher.holdNext('publish-started')

    void publish(aMessage('a', 'k'))

    expect(await whenAnnounced).toBe('publish-started')
    expect(told).toEqual(['sent', 'publish-started'])
  })
})
