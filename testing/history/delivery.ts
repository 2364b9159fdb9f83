import { described, type Violation, violation } from './violation.ts'
import type { Committed, History } from './history.ts'

/** A message that was not through when the run ended, and where it still was. It says nothing for or against the library. */
export interface Undelivered {
  readonly id: string
  /** `outbox`: no relay has settled it. `broker`: it holds it. `consumer`: handed out, and neither applied nor acknowledged. */
  readonly at: 'outbox' | 'broker' | 'consumer'
}

export interface Delivery {
  readonly lost: readonly Committed[]
  readonly undelivered: readonly Undelivered[]
  /** Of rules `lost`, `effect-missing` and `dead-letter-missing`. */
  readonly violations: readonly Violation[]
}

/**
 * Tells what is nowhere from what is still on its way. A message of the outbox is on its way. So are as many of the others as the
 * broker still holds; it is asked for their number alone, and the oldest are taken for those it does not hold.
 */
export function deliveryOf(history: History): Delivery {
  const arrived = new Set([...history.arrivals, ...history.effects].map(({ id }) => id))
  const deadLettered = new Set(history.deadLetters.map(({ id }) => id))
  const inOutbox = new Set(history.remains.outbox)
  const applied = new Set(history.effects.map(({ id, consumer }) => `${consumer} ${id}`))
  // A consumer may be killed before it can say so: the number then speaks for each.
  const areAllThere = history.remains.letters >= history.committed.filter(({ isRefused }) => isRefused).length
  const isThrough = ({ id, isRefused }: Committed): boolean =>
    arrived.has(id) &&
    (isRefused ? areAllThere : history.consumers.every((consumer) => applied.has(`${consumer} ${id}`)))

  const open = history.committed.filter((message) => !deadLettered.has(message.id) && !isThrough(message))
  const doomed = history.committed.filter(({ id, isDoomed }) => isDoomed && !deadLettered.has(id) && !inOutbox.has(id))
  const outside = open.filter(({ id }) => !inOutbox.has(id)).sort((a, b) => a.atMs - b.atMs)
  const gone = outside.slice(0, Math.max(0, outside.length - history.remains.broker))
  const held = outside.slice(gone.length)
  const lost = gone.filter(({ id }) => !arrived.has(id))
  const why = `of ${String(outside.length)} such messages the broker holds ${String(history.remains.broker)}, the outbox none`
  return {
    lost,
    undelivered: [
      ...open.filter(({ id }) => inOutbox.has(id)).map(({ id }) => ({ id, at: 'outbox' as const })),
      ...held.map(({ id }) => ({ id, at: arrived.has(id) ? ('consumer' as const) : ('broker' as const) })),
    ],
    violations: [
      ...lost.map((message) => violation('lost', `${described(message)}: neither delivered nor dead-lettered; ${why}`)),
      ...gone
        .filter(({ id }) => arrived.has(id))
        .flatMap((message) =>
          history.consumers
            .filter((consumer) => !applied.has(`${consumer} ${message.id}`))
            .map((consumer) => violation('effect-missing', `${consumer} never applied ${described(message)}; ${why}`)),
        ),
      ...doomed.map((message) =>
        violation('dead-letter-missing', `${described(message)} was made to fail for ever and is no dead letter`),
      ),
    ],
  }
}
