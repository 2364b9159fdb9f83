import { circuitBreaker, CircuitState, CountBreaker, handleAll } from 'cockatiel'
import type { Socket } from 'node:net'
import { buildConnector, Pool } from 'undici'
import { z } from 'zod'
import type { Fill, Order } from '../orders/order.ts'
import { gather } from './gather.ts'
import { createTurns } from './in-turn.ts'

/** How the exchange has decided an order, for good. */
export type Answer =
  | { readonly status: 'filled'; readonly fill: Fill }
  | { readonly status: 'rejected'; readonly reason: string }

/** What the brokerage needs of an exchange. Every call may be repeated: the order's id is the exchange's idempotency key. */
export interface Exchange {
  /** Executes the order, or says how it was decided before. @throws Error when the exchange gives no answer */
  execute(order: Order, signal: AbortSignal): Promise<Answer>
  /** Says how the order was decided, or null: the exchange has never heard of it. @throws Error when it gives no answer */
  lookUp(order: Order, signal: AbortSignal): Promise<Answer | null>
  /**
   * Takes the order back, or says how it was decided before. After `rejected` the exchange will never fill it.
   *
   * @throws Error when the exchange gives no answer
   */
  withdraw(order: Order, signal: AbortSignal): Promise<Answer>
  /** False: it has been failing, and a call now would fail at once without being made. */
  isReachable(): boolean
}

/** A connected exchange, which also says how its breaker is. */
export interface ExchangeClient extends Exchange {
  readonly breaker: () => BreakerState
  close(): Promise<void>
}

export type BreakerState = 'closed' | 'open' | 'half-open'

export interface ExchangeClientOptions {
  /** Longest wait for one answer, in milliseconds; no answer is an error, not a rejection. @defaultValue 3_000 */
  readonly timeoutMs?: number
  /** How long an open breaker lets nothing through, in milliseconds. @defaultValue 5_000 */
  readonly openMs?: number
  readonly onBreaker?: (state: BreakerState) => void
}

/** Orders under way at the same time. */
const pipelining = 100

const answerSchema = z.object({
  status: z.enum(['filled', 'rejected', 'cancelled']),
  reason: z.string().nullable(),
  quantity: z.int().nullable(),
  priceCentavos: z.int().nullable(),
})

const states: Readonly<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.Open]: 'open',
  [CircuitState.HalfOpen]: 'half-open',
  [CircuitState.Isolated]: 'open',
}

/**
 * Talks to the exchange over one connection, requests one behind the other without waiting for answers.
 *
 * A circuit breaker stands before it: when half of the last ten calls failed (five at least), calls fail at once for
 * `openMs`, then one is let through to see. Trying again is not done here: `pursue-order.ts` schedules it, so that a
 * pause survives a restart and holds up nobody.
 */
export function createExchangeClient(baseUrl: string, options: ExchangeClientOptions = {}): ExchangeClient {
  const open = buildConnector({})
  let socket: Socket | null = null
  const pool = new Pool(baseUrl, {
    connections: 1,
    pipelining,
    connect: (connecting, opened) =>
      open(connecting, (...result) => {
        socket = result[1] ?? null
        opened(...result)
      }),
  })
  const breaker = circuitBreaker(handleAll, {
    halfOpenAfter: options.openMs ?? 5_000,
    breaker: new CountBreaker({ threshold: 0.5, size: 10, minimumNumberOfCalls: 5 }),
  })
  breaker.onStateChange((state) => options.onBreaker?.(states[state]))
  const timeoutMs = options.timeoutMs ?? 3_000
  // The time for an answer begins when the question leaves: whoever waits for a place would spend it on those before.
  const inTurn = createTurns(pipelining)

  function call(method: 'PUT' | 'GET' | 'DELETE', order: Order, caller: AbortSignal): Promise<Answer | null> {
    return inTurn(() => breaker.execute(() => within(timeoutMs, caller, (signal) => send(method, order, signal))))
  }

  async function send(method: 'PUT' | 'GET' | 'DELETE', order: Order, signal: AbortSignal): Promise<Answer | null> {
    const { orderId, asset, side, quantity, limitPriceCentavos } = order
    if (socket !== null) gather(socket)
    const response = await pool.request({
      path: `/orders/${orderId}`,
      method,
      // Every call may be repeated, so every call may be behind another one that fails.
      idempotent: true,
      // Or the next one would wait for this one's answer.
      blocking: false,
      ...(method === 'PUT'
        ? {
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ asset, side, quantity, limitPriceCentavos }),
          }
        : {}),
      signal,
    })
    const text = await response.body.text()
    if (response.statusCode === 404 && method === 'GET') return null
    if (response.statusCode !== 200)
      throw new Error(`the exchange answered ${String(response.statusCode)} to order ${orderId}`)
    return answerOf(answerSchema.parse(JSON.parse(text)))
  }

  async function decided(method: 'PUT' | 'DELETE', order: Order, signal: AbortSignal): Promise<Answer> {
    return (await call(method, order, signal)) as Answer
  }

  return {
    execute: (order, signal) => decided('PUT', order, signal),
    lookUp: (order, signal) => call('GET', order, signal),
    withdraw: (order, signal) => decided('DELETE', order, signal),
    isReachable: () => breaker.state !== CircuitState.Open,
    breaker: () => states[breaker.state],
    close: () => pool.destroy(),
  }
}

/** Gives up after so long, or when the caller does. An abort is made only then: making one for each call would cost as much as the call. */
async function within<Result>(
  timeoutMs: number,
  caller: AbortSignal,
  call: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const givenUp = new AbortController()
  const onCaller = (): void => givenUp.abort(caller.reason)
  caller.addEventListener('abort', onCaller)
  const late = (): void => givenUp.abort(new Error(`the exchange gave no answer within ${String(timeoutMs)} ms`))
  const timer = setTimeout(late, timeoutMs)
  try {
    caller.throwIfAborted()
    return await call(givenUp.signal)
  } finally {
    clearTimeout(timer)
    caller.removeEventListener('abort', onCaller)
  }
}

function answerOf({ status, reason, quantity, priceCentavos }: z.infer<typeof answerSchema>): Answer {
  if (status !== 'filled') return { status: 'rejected', reason: reason ?? 'WITHDRAWN_AFTER_NO_ANSWER' }
  if (quantity === null || priceCentavos === null) throw new Error('the exchange filled an order without saying how')
  return { status, fill: { quantity, priceCentavos } }
}
