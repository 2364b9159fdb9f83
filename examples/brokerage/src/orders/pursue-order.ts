import { inBatches, type InBatchesOptions, type StreamHandler, UnknownTypeError } from '@malote/outbox-core'
import type { Answer, Exchange } from '../b3/exchange-client.ts'
import { closeOrders } from '../balances/close-orders.ts'
import { lockAccounts } from '../balances/ledger.ts'
import type { Database, Tx } from '../database/database.ts'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { handleStreams } from '../messaging/handle-streams.ts'
import { openTasks, resolveTasks } from './manual-tasks.ts'
import { announce, type Announcement, type OrderCheck, orderCheck, type Reminder, type Traced } from './order-events.ts'
import { advance, findOrders, lockOrders, type Step, type StoredOrder, type TimedOrder } from './order-store.ts'
import { isFinal } from './order.ts'
import { noteLook } from './watch-orders.ts'

export interface PursueOptions {
  readonly db: Database
  readonly exchange: Exchange
  /** Age at which an order that is not decided goes before a person. */
  readonly timeoutMs: number
  /** Pause before the exchange is asked again, after so many looks. */
  readonly retryDelayMs: (tries: number) => number
  /** How orders that are pursued at the same time share statements. */
  readonly batching?: InBatchesOptions
}

/** What a look at an order has found out, to be written down in one commit with the inbox's row. */
interface Finding extends Traced {
  readonly order: TimedOrder
  readonly messageId: string
  readonly isTimeout: boolean
  readonly tries: number
  /** Nobody looks again because of this look. */
  readonly once: boolean
  /** Null: nothing to decide here. */
  readonly answer:
    | Answer
    | { readonly status: 'no-answer'; readonly isLate: boolean }
    | { readonly status: 'never-sent' }
    | null
  /** Settle or compensate here and now: the message that should have done it did not come through. */
  readonly close: boolean
}

/**
 * Takes an order towards its end, whatever brought it here: that it was accepted, that it is time to ask again, or that its time
 * is up. Each step is safe to repeat:
 *
 * 1. A small commit marks the order as sent, which ends the customer's chance to cancel.
 * 2. The exchange is called, outside any transaction, with the order's id as its client order id: however often this
 *    message is delivered, the exchange knows the order and answers the same.
 * 3. The answer, the inbox's row and the next messages are one commit.
 *
 * No answer is written down too: the order stays as it is and the same commit schedules the next look. So an outage costs no
 * message an attempt, holds up no other order, and leaves no order without a next step, however long it takes.
 * Orders of one account go to the exchange in the sequence in which they were placed, one behind the other without waiting for answers.
 * When the time is up, an order that the exchange has not decided goes before a person, and is asked about all the same.
 */
export function pursueOrder(options: PursueOptions, applyOnce: ApplyOnce, actor: string): StreamHandler {
  const { db, exchange, timeoutMs, batching } = options
  const look = inBatches((ids: readonly string[]) => findAll(db, ids, timeoutMs), batching)
  const send = inBatches((steps: readonly Step[]) => markSent(db, steps, timeoutMs), batching)
  const record = applyOnce<Finding>((tx, findings) => writeDown(tx, findings, options, actor))

  /** Marks an order as sent, unless it is late, cancelled, or sent already. @returns the order as it is then, or null */
  const markAsSent = (orderId: string, messageId: string): Promise<TimedOrder | null> =>
    send({ orderId, to: 'SENT_TO_B3', causationId: messageId, actor })

  async function ask(order: TimedOrder, messageId: string, signal: AbortSignal): Promise<Finding['answer']> {
    if (order.state === 'BALANCE_RESERVED') {
      if (order.isLate) return { status: 'never-sent' }
      if (!exchange.isReachable()) return noAnswer(order)
      const sent = await markAsSent(order.orderId, messageId)
      return sent === null ? null : answerOf(sent, signal, () => exchange.execute(sent, signal))
    }
    return answerOf(order, signal, async () => {
      const known = await exchange.lookUp(order, signal)
      if (known !== null) return known
      // The exchange has never heard of it, so it may be sent again; too late for that, it must not be filled any more.
      return order.isLate ? exchange.withdraw(order, signal) : exchange.execute(order, signal)
    })
  }

  return handleStreams(record, async ({ message, signal }, trace) => {
    if (!['order.accepted', 'order.check', 'order.timeout'].includes(message.type))
      throw new UnknownTypeError(message.type)
    const {
      orderId,
      tries,
      once = false,
    } = message.type === 'order.accepted' ? accepted(message.json()) : orderCheck.parse(message.json())
    // The usual case needs no look: the order is as it was accepted, and now it is sent.
    const sent =
      message.type === 'order.accepted' && exchange.isReachable() ? await markAsSent(orderId, message.id) : null
    const order = sent ?? (await look(orderId))
    const asks = ['BALANCE_RESERVED', 'SENT_TO_B3', 'FAILED'].includes(order.state)
    const answer =
      sent === null
        ? asks
          ? await ask(order, message.id, signal)
          : null
        : await answerOf(sent, signal, () => exchange.execute(sent, signal))
    const isTimeout = message.type === 'order.timeout'
    const close = isTimeout && !asks && !isFinal(order.state)
    return { order, messageId: message.id, trace, isTimeout, tries, once, answer, close }
  })
}

/** What the exchange says. An error is no answer; only our own end is an error. */
async function answerOf(
  order: TimedOrder,
  signal: AbortSignal,
  call: () => Promise<Answer>,
): Promise<Finding['answer']> {
  try {
    return await call()
  } catch (error) {
    if (signal.aborted) throw error
    return noAnswer(order)
  }
}

const noAnswer = ({ isLate }: TimedOrder) => ({ status: 'no-answer', isLate }) as const

function accepted(json: unknown): OrderCheck {
  return { orderId: (json as { orderId: string }).orderId, tries: 0 }
}

async function findAll(
  db: Database,
  orderIds: readonly string[],
  timeoutMs: number,
): Promise<readonly PromiseSettledResult<TimedOrder>[]> {
  const orders = await findOrders(db, orderIds, timeoutMs)
  return orderIds.map((orderId) => {
    const value = orders.get(orderId)
    return value === undefined
      ? { status: 'rejected', reason: new Error(`order ${orderId} has a message but no row`) }
      : { status: 'fulfilled', value }
  })
}

/** @returns each order that was sent just now; null: it was late or cancelled meanwhile, or another copy of the message was faster */
async function markSent(
  db: Database,
  steps: readonly Step[],
  timeoutMs: number,
): Promise<readonly PromiseSettledResult<TimedOrder | null>[]> {
  const moved = await advance(db, steps, timeoutMs)
  return steps.map(({ orderId }) => {
    const order = moved.get(orderId)
    return { status: 'fulfilled', value: order === undefined ? null : { ...order, isLate: false } }
  })
}

async function writeDown(tx: Tx, findings: readonly Finding[], options: PursueOptions, actor: string): Promise<void> {
  // Accounts, orders in one sequence, the outbox's keys: here as everywhere, so that two batches cannot wait for each other. A batch
  // without a timeout moves its orders in one statement, which takes them in sequence anyway.
  const looked = findings.filter(({ isTimeout }) => isTimeout).map(({ order }) => order.orderId)
  const closing = findings.filter(({ close }) => close)
  if (closing.length > 0) await lockAccounts(tx, [...new Set(closing.map(({ order }) => order.accountId))])
  if (looked.length > 0)
    await lockOrders(
      tx,
      findings.map(({ order }) => order.orderId),
    )
  const steps = findings.flatMap((finding) => stepOf(finding, actor))
  const moved = [...(await advance(tx, steps)).values()]
  await openTasks(
    tx,
    moved.filter(({ state }) => state === 'FAILED').map(({ orderId }) => ({ orderId, reason: undecided })),
  )
  // A decision ends the wait for a person; most orders never waited for one.
  const failed = new Set(findings.filter(({ order }) => order.state === 'FAILED').map(({ order }) => order.orderId))
  await resolveTasks(
    tx,
    moved
      .filter(({ orderId, state }) => state !== 'FAILED' && failed.has(orderId))
      .map(({ orderId }) => ({ orderId, by: 'b3', resolution: 'the exchange has answered' })),
  )
  await noteLook(tx, looked)
  await closeOrders(
    tx,
    closing.map(({ order, messageId, trace }) => ({ order, causationId: messageId, actor, trace })),
  )
  const traces = new Map(findings.map(({ order, trace }) => [order.orderId, trace]))
  await announce(
    tx,
    moved.map((order) => ({ ...announcementOf(order), trace: traces.get(order.orderId) })),
    findings.flatMap((finding) => reminderOf(finding, options)),
  )
}

const undecided = 'the exchange has not said what became of the order'

function stepOf({ order, messageId, answer }: Finding, actor: string): readonly Step[] {
  const cause = { orderId: order.orderId, causationId: messageId, actor }
  switch (answer?.status) {
    case 'filled':
      return [{ ...cause, to: 'FILLED', fill: answer.fill }]
    case 'rejected':
      return [{ ...cause, to: 'COMPENSATING', reason: answer.reason }]
    case 'never-sent':
      return [{ ...cause, to: 'COMPENSATING', reason: 'NOT_SENT_IN_TIME' }]
    case 'no-answer':
      return answer.isLate ? [{ ...cause, to: 'FAILED', reason: 'UNDECIDED' }] : []
    default:
      return []
  }
}

const announcements = { FILLED: 'order.filled', COMPENSATING: 'order.rejected', FAILED: 'order.undecided' } as const

function announcementOf(order: StoredOrder): Announcement {
  return { type: announcements[order.state as keyof typeof announcements], order }
}

/**
 * Who looks next. Checks ask again after a call in vain, and end when the order's time is up: from then on its timeout does.
 * A timeout comes back until it finds the order in a final state. Should it be lost, `watch-orders.ts` finds the order.
 */
function reminderOf({ order, isTimeout, once, ...finding }: Finding, options: PursueOptions): readonly Reminder[] {
  const { tries, answer, close, trace } = finding
  const next = { orderId: order.orderId, tries: tries + 1, delayMs: options.retryDelayMs(tries), trace }
  if (isTimeout) return isFinal(order.state) || close || once ? [] : [{ ...next, type: 'order.timeout' }]
  return answer?.status === 'no-answer' && !answer.isLate ? [{ ...next, type: 'order.check' }] : []
}
