import { z } from 'zod'
import type { Order } from '../orders/order.ts'

export type ExchangeOutcome = { readonly status: 'filled' } | { readonly status: 'rejected'; readonly reason: string }

/** What the brokerage needs of an exchange. Both calls may be repeated: the order's id is the exchange's idempotency key. */
export interface Exchange {
  /** Executes the order, or says how it was decided before. @throws Error when the exchange gives no answer */
  execute(order: Order, signal: AbortSignal): Promise<ExchangeOutcome>
  /**
   * Takes the order back, or says how it was decided before. After `rejected` the exchange will never fill it.
   *
   * @throws Error when the exchange gives no answer
   */
  withdraw(order: Order, signal: AbortSignal): Promise<ExchangeOutcome>
}

const answer = z.object({ status: z.enum(['filled', 'rejected', 'cancelled']), reason: z.string().nullable() })

/** @param timeoutMs - longest wait for one answer; no answer is an error, not a rejection */
export function createExchangeClient(baseUrl: string, timeoutMs = 2_000): Exchange {
  async function call(method: 'PUT' | 'DELETE', order: Order, signal: AbortSignal): Promise<ExchangeOutcome> {
    const response = await fetch(`${baseUrl}/orders/${order.orderId}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ asset: order.asset, side: order.side, amountCentavos: order.amountCentavos }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    })
    const body: unknown = await response.json()
    if (!response.ok) throw new Error(`the exchange answered ${String(response.status)} to order ${order.orderId}`)
    const { status, reason } = answer.parse(body)
    if (status === 'filled') return { status }
    return { status: 'rejected', reason: reason ?? 'WITHDRAWN_AFTER_NO_ANSWER' }
  }

  return {
    execute: (order, signal) => call('PUT', order, signal),
    withdraw: (order, signal) => call('DELETE', order, signal),
  }
}
