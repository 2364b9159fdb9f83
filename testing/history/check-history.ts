import type { Committed, History } from './history.ts'
import { duplicateViolations, zombieViolations } from './faults.ts'
import { orderViolations, publicationOrderViolations } from './order.ts'
import { ownershipViolations } from './ownership.ts'
import { type Recovery, recoveryOf } from './recovery.ts'
import { described, type Violation, violation } from './violation.ts'

export type { Rule, Violation } from './violation.ts'

export interface Verdict {
  /** Distinct messages that reached the broker. */
  readonly published: number
  /** Times a message was handed to a consumer. */
  readonly delivered: number
  /** Publications beyond the first of a message. */
  readonly duplicates: number
  readonly effectsApplied: number
  readonly lost: number
  readonly orderViolations: number
  readonly violations: readonly Violation[]
  /** Kind of fault → how long its lanes stood still. */
  readonly recoveryMs: Readonly<Record<string, Recovery>>
}

/** Decides, from the outside, whether a run kept every promise. */
export function checkHistory(history: History): Verdict {
  const committed = new Map(history.committed.map((message) => [message.id, message]))
  const published = new Set(history.publications.filter(({ answer }) => answer === 'accepted').map(({ id }) => id))
  const arrived = new Set(history.arrivals.map(({ id }) => id))
  const deadLettered = new Set(history.deadLetters.map(({ id }) => id))

  const reached = new Set([...published, ...arrived])
  const lost = history.committed.filter(({ id }) => !arrived.has(id) && !deadLettered.has(id))
  const order = orderViolations(history, committed)
  const violations = [
    ...lost.map((message) => violation('lost', `${described(message)}: neither delivered nor dead-lettered`)),
    ...[...reached]
      .filter((id) => !committed.has(id))
      .map((id) => violation('not-committed', `${id} reached the broker, but no transaction with it committed`)),
    ...order,
    ...publicationOrderViolations(history, committed),
    ...duplicateViolations(history),
    ...zombieViolations(history, committed),
    ...effectViolations(history, committed, deadLettered),
    ...deadLetterViolations(history, committed, deadLettered),
    ...ownershipViolations(history),
    ...(history.missedByFloor > 0
      ? [violation('floor-passed-a-message', `${String(history.missedByFloor)} messages were found below a floor`)]
      : []),
  ]
  return {
    published: reached.size,
    delivered: history.arrivals.length,
    duplicates: duplicatesOf(history),
    effectsApplied: history.effects.length,
    lost: lost.length,
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

function effectViolations(
  history: History,
  committed: ReadonlyMap<string, Committed>,
  deadLettered: ReadonlySet<string>,
): Violation[] {
  const times = new Map<string, number>()
  for (const { id, consumer } of history.effects)
    times.set(`${consumer} ${id}`, (times.get(`${consumer} ${id}`) ?? 0) + 1)
  const twice = [...times].filter(([, count]) => count > 1)
  const missing = history.consumers.flatMap((consumer) =>
    [...committed.values()]
      .filter(({ id }) => !deadLettered.has(id) && !times.has(`${consumer} ${id}`))
      .map((message) => ({ consumer, message })),
  )
  return [
    ...twice.map(([what, count]) => violation('effect-twice', `${what} was applied ${String(count)} times`)),
    ...missing.map(({ consumer, message }) =>
      violation('effect-missing', `${consumer} never applied ${described(message)}`),
    ),
  ]
}

function deadLetterViolations(
  history: History,
  committed: ReadonlyMap<string, Committed>,
  deadLettered: ReadonlySet<string>,
): Violation[] {
  const doomed = history.committed.filter(({ isDoomed }) => isDoomed)
  return [
    ...history.deadLetters
      .filter(({ id }) => committed.get(id)?.isDoomed !== true)
      .map(({ id, reason }) =>
        violation('unexpected-dead-letter', `${id} died (${reason}) although nothing was wrong with it`),
      ),
    ...doomed
      .filter(({ id }) => !deadLettered.has(id))
      .map((message) =>
        violation('dead-letter-missing', `${described(message)} was made to fail for ever and is no dead letter`),
      ),
  ]
}
