import { expect, it } from 'vitest'
import { StaleStreams } from '../../src/relay/stale-streams.ts'

it('a stream of which something went back while a query was on its way is stale, until its answer is decided', () => {
  const stale = new StaleStreams()
  stale.begin()
  stale.note('a')

  expect(['a', 'b', null].map((stream) => stale.has(stream))).toEqual([true, false, false])
  stale.end()
  expect(stale.has('a')).toBe(false)
})

it('what goes back while no query is on its way makes nothing stale', () => {
  const stale = new StaleStreams()
  stale.note('a')
  stale.begin()

  expect(stale.has('a')).toBe(false)
})

it('a query begins with no stale stream, also when the one before was never decided', () => {
  const stale = new StaleStreams()
  stale.begin()
  stale.note('a')
  stale.begin()

  expect(stale.has('a')).toBe(false)
})
