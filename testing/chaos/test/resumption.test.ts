import { expect, it } from 'vitest'
import type { Fault } from '../../history/history.ts'
import type { Entry } from '../journal.ts'
import { resumptionOf } from '../resumption.ts'

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
