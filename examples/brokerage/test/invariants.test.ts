import { describe, expect, it } from 'vitest'
import { checkInvariants, type Evidence } from '../src/demo/invariants.ts'
import type { Measurement, Verification } from '../src/demo/measure.ts'
import { summarise } from '../src/demo/report.ts'

const measured: Measurement = {
  accepted: 3,
  filled: 2,
  rejected: 1,
  settled: 2,
  compensated: 1,
  cancelled: 0,
  undecided: 0,
  messagesAdded: 21,
  messagesWaiting: 0,
  deadLetters: 0,
  effectsApplied: 21,
  lost: 0,
  duplicateDeliveries: 4,
}
const verified: Verification = {
  ledgerSum: 0,
  wrongBalances: 0,
  reserved: 0,
  wrongPositions: 0,
  wrongHistories: 0,
  wrongViews: 0,
  keyOrderViolations: 0,
  repeatedEffects: 0,
  ordersReported: 3,
  notifications: 3,
  disagreements: 0,
  missingOrders: 0,
}
const good: Evidence = {
  feed: { accepted: 3, refused: 1, replayed: 1, orderIds: new Set(['a', 'b', 'c']), mismatchedReplays: 0 },
  measured,
  verified,
  relayKills: 3,
  relayKillsWanted: 3,
  brokerOutage: true,
  consumerDeadLetters: 0,
  relayRetries: 0,
}
const broken = (evidence: Evidence) => checkInvariants(evidence).filter(({ holds }) => !holds)

describe('the invariants', () => {
  it('hold for a good run, and for one of nothing', () => {
    const nothing = Object.fromEntries(Object.keys(measured).map((key) => [key, 0])) as unknown as Measurement

    expect(broken(good)).toEqual([])
    expect(
      broken({
        ...good,
        measured: nothing,
        verified: { ...verified, ordersReported: 0, notifications: 0 },
        relayKills: 0,
      }),
    ).toEqual([])
  })

  it.each([
    ['lost', 1],
    ['effectsApplied', 22],
    ['messagesWaiting', 1],
    ['deadLetters', 1],
    ['settled', 1],
    ['undecided', 1],
    ['duplicateDeliveries', 0],
  ] as const)('a run with %s %i breaks one', (figure, value) => {
    expect(broken({ ...good, measured: { ...measured, [figure]: value } })).toHaveLength(1)
  })

  it.each(Object.keys(verified) as (keyof Verification)[])('a run with a wrong %s breaks one', (figure) => {
    expect(broken({ ...good, verified: { ...verified, [figure]: verified[figure] + 1 } })).toHaveLength(1)
  })

  it.each(['relayKills', 'consumerDeadLetters', 'relayRetries'] as const)(
    'a run with one %s too many breaks one',
    (figure) => {
      expect(broken({ ...good, [figure]: good[figure] + 1 })).toHaveLength(1)
    },
  )
})

it('the summary has the promised keys in the promised order', () => {
  const run = { ...good, urls: {} }

  expect(JSON.stringify(summarise(run, 5, 1.234))).toBe(
    '{"orders":5,"accepted":3,"refused":1,"replayed":1,"filled":2,"rejected":1,"settled":2,"compensated":1,"relayKills":3,' +
      '"messagesPublished":21,"duplicateDeliveries":4,"effectsApplied":21,"lost":0,"keyOrderViolations":0,"deadLetters":0,' +
      '"ledgerSum":0,"seconds":1.2}',
  )
})
