import { expect, it } from 'vitest'
import type { Publisher } from '../../src/publisher.ts'
import { Blocks } from '../../src/relay/blocks.ts'
import { createBuffer } from '../../src/relay/buffer.ts'
import { Dispatcher } from '../../src/relay/dispatcher.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import { resolveRelayOptions } from '../../src/relay/resolved-options.ts'
import { Schedule } from '../../src/relay/schedule.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { aBuffered } from './a-buffered.ts'

it('an order whose rejected messages left with their lane is sent again when the lane comes back', async () => {
  const clock = createManualClock()
  const sent: string[] = []
  let isDown = true
  const publisher: Publisher = {
    name: 'test',
    close: () => Promise.resolve(),
    publish: (batch) => {
      if (isDown) return Promise.reject(new Error('down'))
      sent.push(...batch.map(({ id }) => id))
      return Promise.resolve(batch.map(({ id }) => ({ id, status: 'accepted' })))
    },
  }
  const pool = { connect: () => Promise.reject(new Error('not used')) }
  const options = resolveRelayOptions({ pool, publisher, clock, outageBackoff: () => 100 })
  const [schedule, buffer, lanes] = [new Schedule(), createBuffer(), new Lanes()]
  const settler = { published: () => {}, retry: () => {}, bury: () => {} }
  const trial = { begin: () => Promise.resolve(true), end: () => Promise.resolve() }
  const parts = { options, trial, schedule, buffer, lanes, settler, blocks: new Blocks() }
  const dispatcher = new Dispatcher({ ...parts, isTrusted: () => true, onProgress: () => {} })
  const arrive = (): void => {
    lanes.add(0, 1)
    lanes.all().forEach((lane) => (lane.isReady = true))
    const message = aBuffered(1, 'a')
    buffer.add(message)
    schedule.add(message)
    dispatcher.pump()
  }
  arrive()
  await new Promise((resolve) => setImmediate(resolve)) // Rejected: it waits for the broker.

  lanes.all().forEach((lane) => (lane.isLeaving = true))
  dispatcher.drop(({ lane }) => !lanes.isActive(lane))
  expect(buffer.countOf(0)).toBe(0)
  lanes.remove(0)
  isDown = false
  arrive()
  await clock.advance(1_000)

  expect(sent).toEqual(['1'])
})
