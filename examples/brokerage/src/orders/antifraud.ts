import type { Centavos } from '../money.ts'

/** What an account may do, and what it has done so far. */
export interface AccountUse {
  readonly orderLimitCentavos: Centavos
  readonly dailyLimitCentavos: Centavos
  readonly ordersPerMinute: number
  /** Placed since midnight, and in the minute that began with the account's last first order. */
  readonly dayCentavos: Centavos
  readonly minuteOrders: number
}

export type AntifraudRule = 'order-limit' | 'daily-limit' | 'velocity'

/** @returns the rule that an order of this amount would break, or null */
export function antifraud(amountCentavos: Centavos, use: AccountUse): AntifraudRule | null {
  if (amountCentavos > use.orderLimitCentavos) return 'order-limit'
  if (use.dayCentavos + amountCentavos > use.dailyLimitCentavos) return 'daily-limit'
  if (use.minuteOrders >= use.ordersPerMinute) return 'velocity'
  return null
}

/** Compliance hears of every order above this. */
const reportAboveCentavos: Centavos = 10_000_000

export function mustBeReported({ amountCentavos }: { readonly amountCentavos: Centavos }): boolean {
  return amountCentavos > reportAboveCentavos
}
