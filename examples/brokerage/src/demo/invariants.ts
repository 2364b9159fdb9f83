import type { FeedResult } from './feed-orders.ts'
import type { Measurement, Verification } from './measure.ts'
import type { Tally } from './processes.ts'

export interface Evidence extends Tally {
  readonly feed: FeedResult
  readonly measured: Measurement
  readonly verified: Verification
  readonly relayKills: number
  readonly relayKillsWanted: number
  /** Whether the broker was stopped in the middle of the run. */
  readonly brokerOutage: boolean
}

export interface Invariant {
  readonly rule: string
  readonly holds: boolean
  readonly found: string
}

/** Pure: what must be true at the end of every run, and whether it is. */
export function checkInvariants(evidence: Evidence): readonly Invariant[] {
  const { feed, measured, verified } = evidence
  const closed = measured.settled + measured.compensated + measured.cancelled
  const deadLetters = measured.deadLetters + evidence.consumerDeadLetters
  const anyMessage = measured.messagesAdded > 0
  return [
    equal('no committed message is lost', measured.lost, 0),
    equal('every consumer has applied every message of its own', measured.effectsApplied, measured.messagesAdded),
    equal('no effect is repeated', verified.repeatedEffects, 0),
    equal('every key is applied in the order its messages were added', verified.keyOrderViolations, 0),
    equal('the outbox is empty', measured.messagesWaiting, 0),
    equal('nothing is dead-lettered', deadLetters, 0),
    ...(evidence.brokerOutage ? [equal('the outage cost no message an attempt', evidence.relayRetries, 0)] : []),
    equal('every order the API promised exists', verified.missingOrders, 0),
    equal('a repeated request names the order of the first', feed.mismatchedReplays, 0),
    equal('every order is settled, compensated or cancelled', closed, measured.accepted),
    equal('exchange, ledger and order agree on every order', verified.disagreements, 0),
    equal('every order is counted once by the reports', verified.ordersReported, measured.accepted),
    equal('every customer is told once', verified.notifications, measured.accepted),
    equal('the ledger sums to zero', verified.ledgerSum, 0),
    equal('every balance is the sum of its movements', verified.wrongBalances, 0),
    equal('every position is what the ledger holds', verified.wrongPositions, 0),
    equal('nothing stays reserved', verified.reserved, 0),
    equal('every order is what its history says', verified.wrongHistories, 0),
    equal('the query side shows every order as it is', verified.wrongViews, 0),
    equal('nothing waits for a person', measured.undecided, 0),
    equal('the relay was killed as often as asked', evidence.relayKills, anyMessage ? evidence.relayKillsWanted : 0),
    {
      rule: 'the inbox absorbed what a killed relay sent twice',
      holds: evidence.relayKills === 0 || measured.duplicateDeliveries > 0,
      found: `${String(measured.duplicateDeliveries)} duplicates after ${String(evidence.relayKills)} kills`,
    },
  ]
}

function equal(rule: string, found: number, expected: number): Invariant {
  return {
    rule,
    holds: found === expected,
    found: found === expected ? String(found) : `${String(found)}, not ${String(expected)}`,
  }
}
