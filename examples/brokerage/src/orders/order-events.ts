import { createOutbox, type MessageOf, type Outbox } from '@malote/outbox-core'
import { currentTraceContext } from '@malote/outbox-core/otel'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import type { Centavos, Quantity } from '../money.ts'
import type { StoredOrder } from './order-store.ts'
import { type Order, type OrderState, orderStates } from './order.ts'

/** What every order event carries: the order as it stands after the commit that announces it, enough to act without asking back. */
export interface OrderEvent extends Order {
  readonly state: OrderState
  readonly version: number
  readonly reason: string | null
  readonly filledQuantity: Quantity | null
  readonly fillPriceCentavos: Centavos | null
  readonly correlationId: string
  /** When the order was placed, and when it came to this state. */
  readonly createdAt: string
  readonly updatedAt: string
}

export const orderEvent: z.ZodType<OrderEvent> = z.object({
  orderId: z.uuid(),
  accountId: z.string(),
  asset: z.string(),
  side: z.enum(['BUY', 'SELL']),
  amountCentavos: z.int().positive(),
  quantity: z.int().positive(),
  limitPriceCentavos: z.int().positive(),
  state: z.enum(orderStates as [OrderState, ...OrderState[]]),
  version: z.int().positive(),
  reason: z.string().nullable(),
  filledQuantity: z.int().nullable(),
  fillPriceCentavos: z.int().nullable(),
  correlationId: z.string(),
  createdAt: z.string(),
  updatedAt: z.string(),
})

/** Asks for another look at an order. `tries` looks have been made. */
export interface OrderCheck {
  readonly orderId: string
  readonly tries: number
  /** One look, whatever it finds: the next one is somebody else's business. */
  readonly once?: boolean | undefined
}

export const orderCheck: z.ZodType<OrderCheck> = z.object({
  orderId: z.uuid(),
  tries: z.int().nonnegative(),
  once: z.boolean().optional(),
})

/** What a customer is to be told. */
export interface Notice {
  readonly accountId: string
  readonly orderId: string
  readonly text: string
}

export const notice: z.ZodType<Notice> = z.object({ accountId: z.string(), orderId: z.uuid(), text: z.string() })

const catalog = {
  'order.accepted': orderEvent,
  'order.filled': orderEvent,
  'order.rejected': orderEvent,
  'order.settled': orderEvent,
  'order.compensated': orderEvent,
  'order.cancelled': orderEvent,
  'order.undecided': orderEvent,
  'order.large': orderEvent,
  'order.check': orderCheck,
  'order.timeout': orderCheck,
  'notice.wanted': notice,
} satisfies Record<OrderEventType | Reminder['type'] | 'notice.wanted', unknown>

export type OrderEventType =
  | 'order.accepted'
  | 'order.filled'
  | 'order.rejected'
  | 'order.settled'
  | 'order.compensated'
  | 'order.cancelled'
  | 'order.undecided'
  /** Beside `order.accepted`, for orders that compliance must hear of: it need not hear of all the others. */
  | 'order.large'

/**
 * One message for each event; the broker makes the copies (`messaging/subscriptions.ts` says who gets which topic).
 *
 * Requests and outcomes are ordered by account: an account's orders must reach the exchange, and its balance, in the sequence
 * in which its customer placed them, and one account's trouble stops no other. Results and checks need no order and wait
 * for nobody; the version in the event tells a late one.
 */
export const topics = {
  requests: 'order-requests',
  outcomes: 'order-outcomes',
  results: 'order-results',
  reports: 'order-reports',
  checks: 'order-checks',
  notices: 'order-notices',
} as const
export type Topic = (typeof topics)[keyof typeof topics]
export const allTopics: readonly Topic[] = Object.values(topics)

const topicOf: Readonly<Record<OrderEventType, Topic>> = {
  'order.accepted': topics.requests,
  'order.filled': topics.outcomes,
  'order.rejected': topics.outcomes,
  'order.settled': topics.results,
  'order.compensated': topics.results,
  'order.cancelled': topics.results,
  'order.undecided': topics.results,
  'order.large': topics.reports,
}

/** Whether messages of this type, as received, belong to that topic. */
export function isEventOf(type: string, topic: Topic): type is OrderEventType {
  return topicOf[type as OrderEventType] === topic
}

export function isOrdered(topic: Topic): boolean {
  return topic === topics.requests || topic === topics.outcomes
}

const written = { catalog, traceContext: currentTraceContext }
const outbox: Outbox<typeof catalog> = createOutbox(written)
/** Locks the keys itself, for those who have no other reason to keep an account's row from everybody else. */
const lockingOutbox: Outbox<typeof catalog> = createOutbox({ ...written, ordering: 'commit' })

/** The trace that a message belongs to, as headers. */
export type TraceHeaders = Readonly<Record<string, string>>

/** What caused one order of a batch: its own message or request has its own trace, and the batch has none. */
export interface Traced {
  /** Absent: the active span. */
  readonly trace?: TraceHeaders | undefined
}

/** Something that happened to an order, which stands as given. */
export interface Announcement extends Traced {
  readonly type: OrderEventType
  readonly order: StoredOrder
}

/** Another look at an order after so long. A timeout has the order's own id, so that it can be cancelled without being noted. */
export interface Reminder extends OrderCheck, Traced {
  readonly type: 'order.check' | 'order.timeout'
  readonly delayMs: number
}

/**
 * Adds messages to the caller's transaction: they leave if it commits and never existed if it does not.
 *
 * Messages of one account leave in the order of their commits. Whoever places orders has locked the accounts (`lockAccounts`), and
 * that is enough. Outcomes need no account, so the outbox locks their keys: the step that learns an outcome does not wait for
 * those that move the account's money, nor they for it.
 */
export async function announce(
  tx: Tx,
  events: readonly Announcement[],
  reminders: readonly Reminder[] = [],
): Promise<void> {
  const messages = [...events.map(messageOf), ...reminders.map(reminderMessage)]
  const hasOutcomes = events.some(({ type }) => topicOf[type] === topics.outcomes)
  if (messages.length > 0) await (hasOutcomes ? lockingOutbox : outbox).addAll(tx, messages)
}

/** Asks for customers to be told by somebody else's service. */
export async function askForNotices(tx: Tx, notices: readonly (Traced & { readonly notice: Notice })[]): Promise<void> {
  const messages = notices.map(({ notice: payload, trace }) => ({
    topic: topics.notices,
    type: 'notice.wanted' as const,
    payload,
    ...(trace === undefined ? {} : { headers: trace }),
  }))
  await outbox.addAll(tx, messages)
}

/** Takes back the timeouts of orders that are final. One that is already on its way finds a final order and does nothing. */
export async function cancelTimeouts(tx: Tx, orderIds: readonly string[]): Promise<void> {
  await outbox.cancelAllScheduled(tx, orderIds)
}

function messageOf({ type, order, trace }: Announcement): MessageOf<typeof catalog> {
  const topic = topicOf[type]
  const payload: OrderEvent = {
    ...order,
    createdAt: order.createdAt.toISOString(),
    updatedAt: order.updatedAt.toISOString(),
  }
  const headers = { ...trace, 'correlation-id': order.correlationId }
  return { topic, type, payload, headers, ...(isOrdered(topic) ? { orderingKey: order.accountId } : {}) }
}

function reminderMessage({ type, delayMs, trace, ...payload }: Reminder): MessageOf<typeof catalog> {
  const id = type === 'order.timeout' && payload.tries === 0 ? { id: payload.orderId } : {}
  return { topic: topics.checks, type, payload, delayMs, ...(trace === undefined ? {} : { headers: trace }), ...id }
}
