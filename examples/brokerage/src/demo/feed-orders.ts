import { setTimeout as pause } from 'node:timers/promises'
import { seedAccounts } from './accounts.ts'
import type { OrderLine } from './order-line.ts'

/** What became of the requests, as their senders saw it. */
export interface FeedResult {
  /** Fresh 202 answers. */
  accepted: number
  /** Fresh 4xx answers. */
  refused: number
  /** Answers marked as the stored answer of an earlier request. */
  replayed: number
  /** Ids of orders the API has promised. */
  readonly orderIds: Set<string>
  /** Replays that named another order than the first answer did. */
  mismatchedReplays: number
}

export interface FeedOptions {
  readonly apiUrl: string
  readonly lines: readonly OrderLine[]
  readonly signal: AbortSignal
  /** Called after each answered request. */
  readonly onAnswer: (result: Readonly<FeedResult>) => void
}

/**
 * Sends the requests: each account's one after the other, as one customer would, all accounts at the same time.
 * A request that got no final answer is sent again under its key, which is what keys are for.
 *
 * @throws Error when the API gives no final answer at all, or when `signal` aborts
 */
export async function feedOrders(options: FeedOptions): Promise<FeedResult> {
  const result: FeedResult = { accepted: 0, refused: 0, replayed: 0, orderIds: new Set(), mismatchedReplays: 0 }
  const orderOfKey = new Map<string, string>()
  const byAccount = Map.groupBy(options.lines, (line) => line.account)
  await Promise.all(
    [...byAccount].map(async ([account, lines]) => {
      const token = seedAccounts.find(({ accountId }) => accountId === account)?.token ?? ''
      for (const line of lines) {
        note(result, orderOfKey, line, await sendUntilAnswered(options, line, token))
        options.onAnswer(result)
      }
    }),
  )
  return result
}

interface Answer {
  readonly status: number
  readonly replayed: boolean
  readonly orderId: string | null
}

function note(result: FeedResult, orderOfKey: Map<string, string>, line: OrderLine, answer: Answer): void {
  if (answer.replayed) result.replayed++
  else if (answer.status === 202) result.accepted++
  else result.refused++
  if (answer.orderId === null) return
  result.orderIds.add(answer.orderId)
  const key = `${line.account} ${line.idempotencyKey}`
  if (answer.replayed && orderOfKey.has(key) && orderOfKey.get(key) !== answer.orderId) result.mismatchedReplays++
  orderOfKey.set(key, answer.orderId)
}

async function sendUntilAnswered(options: FeedOptions, line: OrderLine, token: string): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await send(options, line, token)
    if ('status' in answer) return answer
    if (attempt >= 100) throw new Error(`the API gives no answer to a request of ${line.account}: ${answer.why}`)
    await pause(answer.retryAfterMs, undefined, { signal: options.signal })
  }
}

async function send(
  { apiUrl, signal }: FeedOptions,
  line: OrderLine,
  token: string,
): Promise<Answer | { retryAfterMs: number; why: string }> {
  let response: Response
  let body: { id?: unknown; code?: unknown }
  try {
    response = await fetch(`${apiUrl}/api/orders`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'idempotency-key': line.idempotencyKey,
      },
      body: JSON.stringify(line.body),
      signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
    })
    body = (await response.json()) as { id?: unknown }
  } catch (error) {
    signal.throwIfAborted()
    return { retryAfterMs: 200, why: String(error) }
  }
  const retryAfter = response.headers.get('retry-after')
  if (response.status >= 500 || (response.status === 409 && retryAfter !== null))
    return { retryAfterMs: Math.min(Number(retryAfter ?? 1) * 1_000, 1_000), why: `status ${String(response.status)}` }
  return {
    status: response.status,
    replayed: response.headers.get('idempotency-replayed') === 'true',
    orderId: response.status === 202 ? String(body.id) : null,
  }
}
