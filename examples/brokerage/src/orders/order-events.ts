import { createOutbox, type MessageOf, type Outbox } from '@malote/outbox-core'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { Order } from './order.ts'

/** What every order event carries: enough for a consumer to act without asking back. */
export interface OrderEvent extends Order {
  /** Why it did not fill, for the events that need a reason. */
  readonly reason: string | null
}

export const orderEvent: z.ZodType<OrderEvent> = z.strictObject({
  orderId: z.uuid(),
  accountId: z.string(),
  asset: z.string(),
  side: z.enum(['BUY', 'SELL']),
  amountCentavos: z.int().positive(),
  reason: z.string().nullable(),
})

export type OrderEventType =
  | 'order.accepted'
  | 'order.filled'
  | 'order.rejected'
  | 'order.settled'
  | 'order.compensated'
  | 'order.cancelled'

const catalog = {
  'order.accepted': orderEvent,
  'order.filled': orderEvent,
  'order.rejected': orderEvent,
  'order.settled': orderEvent,
  'order.compensated': orderEvent,
  'order.cancelled': orderEvent,
} satisfies Record<OrderEventType, unknown>

export const topics = {
  orders: 'order-queue',
  balances: 'balance-queue',
  notifications: 'notification-queue',
  audit: 'audit-queue',
  reports: 'report-queue',
} as const
export type Topic = (typeof topics)[keyof typeof topics]
export const allTopics: readonly Topic[] = Object.values(topics)

/**
 * Topics whose messages are ordered by account. The account is the key, not the order: an account's orders must reach the
 * exchange, and its balance, in the sequence in which its customer placed them, and one account's trouble stops no other.
 * The audit trail and the reports need no order, so theirs go without a key and wait for nobody.
 */
const ordered: ReadonlySet<Topic> = new Set<Topic>([topics.orders, topics.balances, topics.notifications])

/** Who is told what. One message for each listener: each has its own queue, its own retries, and its own place in the inbox. */
const listeners: Readonly<Record<OrderEventType, readonly Topic[]>> = {
  'order.accepted': [topics.orders, topics.audit],
  'order.filled': [topics.balances, topics.audit],
  'order.rejected': [topics.balances, topics.audit],
  'order.settled': [topics.notifications, topics.audit, topics.reports],
  'order.compensated': [topics.notifications, topics.audit, topics.reports],
  'order.cancelled': [topics.notifications, topics.audit, topics.reports],
}

export function isOrdered(topic: Topic): boolean {
  return ordered.has(topic)
}

const outbox: Outbox<typeof catalog> = createOutbox({ catalog })

/** Something that happened to an order. */
export interface Announcement {
  readonly type: OrderEventType
  readonly order: Order
  readonly reason?: string | null
}

/**
 * Adds the events' messages to the caller's transaction: they leave if it commits and never existed if it does not.
 * The accounts must be locked (`lockAccounts`), which makes the order of their messages the order of their commits.
 */
export async function announce(tx: Tx, events: readonly Announcement[]): Promise<void> {
  await outbox.addAll(tx, events.flatMap(messagesOf))
}

function messagesOf({ type, order, reason = null }: Announcement): MessageOf<typeof catalog>[] {
  const payload: OrderEvent = { ...orderFields(order), reason }
  return listeners[type].map((topic) => ({
    topic,
    type,
    payload,
    ...(isOrdered(topic) ? { orderingKey: order.accountId } : {}),
  }))
}

function orderFields({ orderId, accountId, asset, side, amountCentavos }: Order): Order {
  return { orderId, accountId, asset, side, amountCentavos }
}
