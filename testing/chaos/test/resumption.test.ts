import { expect, it } from 'vitest'
import type { Fault } from '../../history/history.ts'
import type { Entry } from '../journal.ts'
import { hollowOutages, resumptionOf } from '../resumption.ts'

const outage = (kind: string, startedAtMs: number, endedAtMs: number): Fault => ({
  kind,
  relay: null,
  lanes: [],
  startedAtMs,
  endedAtMs,
  healsFromMs: endedAtMs,
})

const event = (name: string, atMs: number): Entry => ({ what: 'consumer-event', event: name, id: 'a', atMs })

const resumption = (faults: readonly Fault[], ...entries: readonly Entry[]) =>
  resumptionOf(faults, new Map([['consumer-1.1', entries]]))['dead-letters-away']

it('is the time from the mend to the first dead letter, when one waited', () => {
  const faults = [outage('dead-letters-away', 10_000, 30_000)]

  expect(
    resumption(
      faults,
      event('message.dead-letter-failed', 29_500),
      event('message.dead-lettered', 31_200),
      event('message.dead-lettered', 30_700),
    ),
  ).toEqual([700])
})

it('says nothing of a mend for which nobody waited, or beside which something else went wrong', () => {
  const faults = [outage('dead-letters-away', 10_000, 30_000)]
  const [waiting, gone] = [event('message.dead-letter-failed', 29_500), event('message.dead-lettered', 30_700)]

  expect(resumption(faults, event('message.dead-letter-failed', 15_000), gone)).toEqual([])
  expect(resumption([...faults, outage('kill-consumer', 31_000, 31_001)], waiting, gone)).toEqual([])
})

// A broker was once told to ask for more replicas than there are, and took everything all the same.
it('an outage that refused nobody is named, and one that did is not', () => {
  const faults = [outage('dead-letters-away', 10_000, 30_000)]
  const hollow = (...entries: readonly Entry[]) => hollowOutages(faults, new Map([['consumer-1.1', entries]]))
  const [gone, refused] = [event('message.dead-lettered', 25_000), event('message.dead-letter-failed', 26_000)]

  expect(hollow(gone)).toEqual(['dead-letters-away from 10000: it refused nobody'])
  expect(hollow(gone, refused)).toEqual([])
  expect(hollow(event('message.dead-lettered', 10_200), event('message.dead-lettered', 30_001))).toEqual([])
  expect(hollow()).toEqual([])
})
