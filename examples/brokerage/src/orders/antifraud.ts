import type { Centavos } from '../money.ts'

export type AntifraudVerdict = { readonly passed: true } | { readonly passed: false; readonly rule: string }

/** The one rule of this example: no single order above what the account is allowed. */
export function antifraud(amountCentavos: Centavos, orderLimitCentavos: Centavos): AntifraudVerdict {
  return amountCentavos <= orderLimitCentavos ? { passed: true } : { passed: false, rule: 'order-limit' }
}
