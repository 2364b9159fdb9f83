import { expect, it } from 'vitest'
import { RestingStreams } from '../../src/relay/resting-streams.ts'

it('streams rest while looks are partial', () => {
  const resting = new RestingStreams()
  resting.found(['a'], true)
  resting.found(['b'], true)

  expect([...resting.names()]).toEqual(['a', 'b'])
})

it('a look that took in all that waits wakes them all, and lets none rest', () => {
  const resting = new RestingStreams()
  resting.found(['a'], true)
  resting.found(['b'], false)

  expect([...resting.names()]).toEqual([])
})

it('blocks that are loaded anew wake them all', () => {
  const resting = new RestingStreams()
  resting.found(['a'], true)
  resting.wake()

  expect([...resting.names()]).toEqual([])
})
