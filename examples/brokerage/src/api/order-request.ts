import { z } from 'zod'
import { centavosFromBrl } from '../money.ts'
import type { OrderRequest } from '../orders/place-order.ts'

/** Exactly the three fields, nothing coerced: `"1000"` is no amount. */
const orderRequest = z.strictObject({
  amount: z
    .number()
    .refine((amount) => centavosFromBrl(amount) !== null, 'must be positive, in BRL, with at most two decimals'),
  asset: z.string().regex(/^[A-Z][A-Z0-9]{3}\d{1,2}$/, 'must be a B3 ticker, for example PETR4'),
  type: z.enum(['BUY', 'SELL']),
})

export type ParsedOrderRequest =
  | { readonly valid: true; readonly request: OrderRequest }
  /** Names the fields and rules, never the values. */
  | { readonly valid: false; readonly detail: string }

export function parseOrderRequest(body: unknown): ParsedOrderRequest {
  const parsed = orderRequest.safeParse(body)
  if (!parsed.success) {
    const detail = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`).join('; ')
    return { valid: false, detail }
  }
  const { amount, asset, type } = parsed.data
  return { valid: true, request: { amountCentavos: centavosFromBrl(amount) as number, asset, side: type } }
}

/**
 * Parses JSON like `JSON.parse`, except that a number of more than 15 digits is refused: beyond them a double may
 * silently become another amount than the client wrote.
 *
 * @throws SyntaxError
 */
export function parseJsonExactly(text: string): unknown {
  return JSON.parse(text, ((_key: string, value: unknown, context?: { source?: string }) => {
    if (typeof value === 'number' && significantDigits(context?.source ?? '') > 15)
      throw new SyntaxError('a number has more than 15 digits')
    return value
  }) as (key: string, value: unknown) => unknown)
}

function significantDigits(literal: string): number {
  return literal.replace(/e.*$/i, '').replaceAll(/[-.]/g, '').replace(/^0+/, '').length
}
