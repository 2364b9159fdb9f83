import { type Topic, topics } from '../orders/order-events.ts'

/** Who consumes, and its place in the inbox. Never rename one: the inbox would forget what was applied. */
export type ConsumerName =
  | 'orders'
  | 'checks'
  | 'balances'
  | 'notification'
  | 'audit'
  | 'reports'
  | 'compliance'
  | 'projection'

export interface Subscription {
  readonly consumer: ConsumerName
  /** Its own queue, group or subscription: the broker copies each message into it. */
  readonly queue: string
  readonly topics: readonly Topic[]
}

/** Who is told what. The outbox holds each message once; the broker fans it out. */
export const subscriptions: readonly Subscription[] = [
  { consumer: 'orders', queue: 'order-queue', topics: [topics.requests] },
  { consumer: 'checks', queue: 'check-queue', topics: [topics.checks] },
  { consumer: 'balances', queue: 'balance-queue', topics: [topics.outcomes] },
  { consumer: 'notification', queue: 'notification-queue', topics: [topics.results] },
  // What an order went through is in its history, by whom and why; audit keeps what the world was told in the end.
  { consumer: 'audit', queue: 'audit-queue', topics: [topics.results] },
  { consumer: 'reports', queue: 'report-queue', topics: [topics.results] },
  { consumer: 'compliance', queue: 'compliance-queue', topics: [topics.reports] },
  // Between request and result an order changes too quickly for anybody to look; what stays undecided is a result.
  { consumer: 'projection', queue: 'projection-queue', topics: [topics.requests, topics.results] },
]

export function subscriptionOf(consumer: ConsumerName): Subscription {
  const found = subscriptions.find((subscription) => subscription.consumer === consumer)
  if (found === undefined) throw new Error(`no subscription of ${consumer}`)
  return found
}

/** Whether this subscription keeps the order per account: those that act on the order do, those that look on need not. */
export function keepsOrder({ consumer }: Subscription): boolean {
  return consumer === 'orders' || consumer === 'balances'
}

/** How many consumers get each message of a topic. */
export function listenersOf(topic: Topic): number {
  return subscriptions.filter((subscription) => subscription.topics.includes(topic)).length
}
