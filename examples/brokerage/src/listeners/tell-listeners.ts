import { type StreamHandler, UnknownTypeError } from '@malote/outbox-core'
import type { Tx } from '../database/database.ts'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { handleStreams } from '../messaging/handle-streams.ts'
import {
  isEventOf,
  orderEvent,
  type OrderEvent,
  type OrderEventType,
  topics,
  type Traced,
} from '../orders/order-events.ts'

/** What listeners are told: that this has happened to an order, and how the order stands since. */
export interface Told extends Traced {
  readonly type: OrderEventType
  readonly order: OrderEvent
  readonly happenedAt: Date
}

/** Somebody who looks on. Writes what it keeps in the caller's transaction, and takes from the batch what it cares for. */
export type Listener = (tx: Tx, told: readonly Told[]) => Promise<void>

/**
 * Tells several listeners of each message, all in one transaction: one copy in the broker, one row in the inbox and one commit serve them
 * all, and none has heard what another has not.
 *
 * That is for those who keep what they learn in the same database. Whoever keeps it elsewhere, calls somebody else, or must go on when the
 * others cannot has a queue of its own.
 */
export function tellListeners(applyOnce: ApplyOnce, listeners: readonly Listener[]): StreamHandler {
  const tell = applyOnce<Told>(async (tx, told) => {
    for (const listener of listeners) await listener(tx, told)
  })
  return handleStreams(tell, ({ message }, trace) => {
    const { type } = message
    if (!isEventOf(type, topics.requests) && !isEventOf(type, topics.results) && !isEventOf(type, topics.reports))
      throw new UnknownTypeError(type)
    return { type, order: orderEvent.parse(message.json()), happenedAt: message.createdAt, trace }
  })
}

/** How orders ended, or that somebody must look after them. */
export const resultsOf = (told: readonly Told[]): readonly Told[] =>
  told.filter(({ type }) => isEventOf(type, topics.results))
