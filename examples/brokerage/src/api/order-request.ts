import { z } from 'zod'
import { maxAmountCentavos, centavosFromBrl, type Centavos, type Quantity, quantityFromShares } from '../money.ts'
import type { Side } from '../orders/order.ts'

/** Exactly these fields, nothing coerced: `"1000"` is no amount. An order is for an amount of money or for a number of shares. */
export const orderBody: z.ZodType<{
  amount?: number | undefined
  quantity?: number | undefined
  asset: string
  type: Side
}> = z
  .strictObject({
    amount: z
      .number()
      .refine(
        (amount) => centavosFromBrl(amount) !== null,
        'must be in BRL, positive, at most 10,000,000, with at most two decimals',
      )
      .meta({
        description: 'BRL to spend, or to sell for. Instead of `quantity`.',
        minimum: 0.01,
        maximum: maxAmountCentavos / 100,
        multipleOf: 0.01,
      })
      .optional(),
    quantity: z
      .number()
      .refine(
        (shares) => quantityFromShares(shares) !== null,
        'must be positive, less than 10,000,000, with at most six decimals',
      )
      .meta({
        description: 'Shares to buy or sell. Instead of `amount`.',
        minimum: 0.000001,
        exclusiveMaximum: 10_000_000,
        multipleOf: 0.000001,
      })
      .optional(),
    asset: z.string().regex(/^[A-Z][A-Z0-9]{3}\d{1,2}$/, 'must be a B3 ticker, for example PETR4'),
    type: z.enum(['BUY', 'SELL']),
  })
  .refine(({ amount, quantity }) => (amount === undefined) !== (quantity === undefined), {
    error: 'needs either amount or quantity',
  })
  .meta({ oneOf: [{ required: ['amount'] }, { required: ['quantity'] }] })

/** What a customer asks for. */
export interface WantedOrder {
  readonly amountCentavos: Centavos | null
  readonly quantity: Quantity | null
  readonly asset: string
  readonly side: Side
}

export type ParsedOrderRequest =
  | { readonly valid: true; readonly request: WantedOrder }
  /** Names the fields and rules, never the values. */
  | { readonly valid: false; readonly detail: string }

export function parseOrderRequest(body: unknown): ParsedOrderRequest {
  const parsed = orderBody.safeParse(body)
  if (!parsed.success) return { valid: false, detail: detailOf(parsed.error) }
  const { amount, quantity, asset, type } = parsed.data
  return {
    valid: true,
    request: {
      amountCentavos: amount === undefined ? null : centavosFromBrl(amount),
      quantity: quantity === undefined ? null : quantityFromShares(quantity),
      asset,
      side: type,
    },
  }
}

/** What is wrong with which field, without the values. */
export function detailOf(error: z.ZodError): string {
  return error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`).join('; ')
}

/**
 * Parses JSON like `JSON.parse`, except that a number of more than 15 digits is refused: beyond them a double may
 * silently become another amount than the client wrote.
 *
 * @throws SyntaxError
 */
export function parseJsonExactly(text: string): unknown {
  // Such a number is a run of digits, with a point in it perhaps. Without one there is nothing to look at, and parsing costs a tenth.
  if (!/[\d.]{16}/.test(text)) return JSON.parse(text)
  return JSON.parse(text, ((_key: string, value: unknown, context?: { source?: string }) => {
    if (typeof value === 'number' && significantDigits(context?.source ?? '') > 15)
      throw new SyntaxError('a number has more than 15 digits')
    return value
  }) as (key: string, value: unknown) => unknown)
}

function significantDigits(literal: string): number {
  return literal.replace(/e.*$/i, '').replaceAll(/[-.]/g, '').replace(/^0+/, '').length
}
