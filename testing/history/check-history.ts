import type { Committed, History } from './history.ts'
import { cutOffViolations } from './cut-off.ts'
import { deliveryOf, type Undelivered } from './delivery.ts'
import { duplicateViolations, zombieViolations } from './faults.ts'
import { orderViolations, publicationOrderViolations } from './order.ts'
import { ownershipViolations } from './ownership.ts'
import { type Recovery, recoveryOf } from './recovery.ts'
import { type Violation, violation } from './violation.ts'

export type { Undelivered } from './delivery.ts'
export type { Rule, Violation } from './violation.ts'

export interface Verdict {
  /** Distinct messages that reached the broker. */
  readonly published: number
  /** Times a message was handed to a consumer. */
  readonly delivered: number
  /** Publications beyond the first of a message. */
  readonly duplicates: number
  readonly effectsApplied: number
  /** Messages that are nowhere. */
  readonly lost: number
  /** Messages that were still on their way when the run ended: with any, and no violation, the run has decided nothing. */
  readonly undelivered: readonly Undelivered[]
  readonly orderViolations: number
  readonly violations: readonly Violation[]
  /** Kind of fault → how long its lanes stood still. */
  readonly recoveryMs: Readonly<Record<string, Recovery>>
}

export type Outcome = 'sound' | 'violated' | 'inconclusive'

/** A violation counts whatever else is open. A run that ended before its messages were through proves nothing. */
export function outcomeOf({ violations, undelivered }: Pick<Verdict, 'violations' | 'undelivered'>): Outcome {
  if (violations.length > 0) return 'violated'
  return undelivered.length > 0 ? 'inconclusive' : 'sound'
}

/** Decides, from the outside, whether a run kept every promise. */
export function checkHistory(history: History): Verdict {
  const committed = new Map(history.committed.map((message) => [message.id, message]))
  const published = new Set(history.publications.filter(({ answer }) => answer === 'accepted').map(({ id }) => id))
  const arrived = new Set(history.arrivals.map(({ id }) => id))

  const reached = new Set([...published, ...arrived])
  const delivery = deliveryOf(history)
  const order = orderViolations(history, committed)
  const violations = [
    ...delivery.violations,
    ...[...reached]
      .filter((id) => !committed.has(id))
      .map((id) => violation('not-committed', `${id} reached the broker, but no transaction with it committed`)),
    ...order,
    ...publicationOrderViolations(history, committed),
    ...duplicateViolations(history),
    ...zombieViolations(history, committed),
    ...effectViolations(history),
    ...deadLetterViolations(history, committed),
    ...ownershipViolations(history),
    ...cutOffViolations(history),
    ...(history.missedByFloor > 0
      ? [violation('floor-passed-a-message', `${String(history.missedByFloor)} messages were found below a floor`)]
      : []),
  ]
  return {
    published: reached.size,
    delivered: history.arrivals.length,
    duplicates: duplicatesOf(history),
    effectsApplied: history.effects.length,
    lost: delivery.lost.length,
    undelivered: delivery.undelivered,
    orderViolations: order.length,
    violations,
    recoveryMs: recoveryOf(history, committed),
  }
}

/** A publication nobody answered counts: the broker may have it. */
function duplicatesOf({ publications }: History): number {
  const sent = publications.filter(({ answer }) => answer !== 'refused')
  return sent.length - new Set(sent.map(({ id }) => id)).size
}

function effectViolations(history: History): Violation[] {
  const times = new Map<string, number>()
  for (const { id, consumer } of history.effects)
    times.set(`${consumer} ${id}`, (times.get(`${consumer} ${id}`) ?? 0) + 1)
  const twice = [...times].filter(([, count]) => count > 1)
  return twice.map(([what, count]) => violation('effect-twice', `${what} was applied ${String(count)} times`))
}

function deadLetterViolations(history: History, committed: ReadonlyMap<string, Committed>): Violation[] {
  const refusals = history.refusals
    .filter((id) => committed.get(id)?.isRefused !== true)
    .map((id) => violation('unexpected-dead-letter', `a consumer gave ${id} up although nothing was wrong with it`))
  const letters = history.deadLetters
    .filter(({ id }) => committed.get(id)?.isDoomed !== true)
    .map(({ id, reason }) =>
      violation('unexpected-dead-letter', `${id} died (${reason}) although nothing was wrong with it`),
    )
  return [...refusals, ...letters]
}
