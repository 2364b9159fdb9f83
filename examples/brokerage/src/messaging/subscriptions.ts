import { type Topic, topics } from '../orders/order-events.ts'

/** Who consumes, and its place in the inbox. Never rename one: the inbox would forget what was applied. */
export type ConsumerName = 'orders' | 'checks' | 'balances' | 'listeners' | 'notification'

export interface Subscription {
  readonly consumer: ConsumerName
  /** Its own queue, group or subscription: the broker copies each message into it. */
  readonly queue: string
  readonly topics: readonly Topic[]
}

/**
 * Who is told what. The outbox holds each message once; the broker fans it out, to one queue for each database and each service outside.
 * Whoever shares a database shares a queue, for a copy costs what a message costs: the broker's disk, an inbox row, a share of a commit.
 */
export const subscriptions: readonly Subscription[] = [
  { consumer: 'orders', queue: 'order-queue', topics: [topics.requests] },
  { consumer: 'checks', queue: 'check-queue', topics: [topics.checks] },
  { consumer: 'balances', queue: 'balance-queue', topics: [topics.outcomes] },
  // Query side, notification, audit, reports and compliance keep what they learn in one database: one copy, one transaction for all five. What
  // an order went through is in its history, by whom and why; they are told that it was accepted, how it ended, and what compliance must
  // hear of. Between the first two it changes too quickly for anybody to look; what stays undecided is a result.
  { consumer: 'listeners', queue: 'listener-queue', topics: [topics.requests, topics.results, topics.reports] },
  // Calls somebody else's service, if there is one.
  { consumer: 'notification', queue: 'notice-queue', topics: [topics.notices] },
]

/**
 * Queues of earlier releases. Nobody reads them, and while they are bound they grow for ever: the set-up takes them off RabbitMQ's exchange.
 * What they were for the listeners' queue does.
 */
export const retiredQueues: readonly string[] = [
  'projection-queue',
  'notification-queue',
  'audit-queue',
  'report-queue',
  'compliance-queue',
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
