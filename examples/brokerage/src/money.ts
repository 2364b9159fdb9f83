/** An amount in hundredths of a real. Always a safe integer: money never meets a fraction. */
export type Centavos = number

/** Largest amount of one order, R$ 10 million: far below 2^53 centavos, so that sums of many stay exact. */
export const maxAmountCentavos: Centavos = 1_000_000_000

/**
 * Turns an amount in BRL, as it comes out of JSON, into centavos without arithmetic on fractions.
 *
 * Works on the shortest decimal text of the number, which for at most 15 digits is what the client wrote: `1.1` is 110 and
 * `0.1 + 0.2` is refused.
 *
 * @returns null unless it is positive, at most `maxAmountCentavos`, and has at most two decimals
 */
export function centavosFromBrl(amount: number): Centavos | null {
  const match = /^(\d{1,8})(?:\.(\d{1,2}))?$/.exec(String(amount))
  if (match === null) return null
  const centavos = Number(match[1]) * 100 + Number((match[2] ?? '').padEnd(2, '0'))
  return centavos > 0 && centavos <= maxAmountCentavos ? centavos : null
}

/** The amount as a JSON number in BRL. Exact for every amount the brokerage can hold. */
export function brlFromCentavos(centavos: Centavos): number {
  const [whole, rest] = [Math.trunc(Math.abs(centavos) / 100), Math.abs(centavos) % 100]
  return Number(`${centavos < 0 ? '-' : ''}${String(whole)}.${String(rest).padStart(2, '0')}`)
}

/** Made once: making one costs more than a hundred numbers. */
const grouped = new Intl.NumberFormat('en-US')

/** For people: `R$ 1,234.50`. */
export function formatBrl(centavos: Centavos): string {
  const sign = centavos < 0 ? '-' : ''
  const whole = grouped.format(Math.trunc(Math.abs(centavos) / 100))
  return `${sign}R$ ${whole}.${String(Math.abs(centavos) % 100).padStart(2, '0')}`
}

/** A number of shares in millionths: an order is placed by amount, so it is seldom for whole shares. Always a safe integer. */
export type Quantity = number

/** One share. */
export const oneShare: Quantity = 1_000_000

/** Shares that the amount pays for at this price, rounded down: their cost never exceeds the amount. */
export function quantityFor(amountCentavos: Centavos, priceCentavos: Centavos): Quantity {
  return Math.floor((amountCentavos * oneShare) / priceCentavos)
}

/** What a purchase costs, rounded up: a buyer never owes a fraction of a centavo. */
export function costOf(quantity: Quantity, priceCentavos: Centavos): Centavos {
  return Math.ceil((quantity * priceCentavos) / oneShare)
}

/** What a sale brings, rounded down. */
export function proceedsOf(quantity: Quantity, priceCentavos: Centavos): Centavos {
  return Math.floor((quantity * priceCentavos) / oneShare)
}

/** Turns a number of shares out of JSON into millionths. @returns null unless it is positive with at most six decimals */
export function quantityFromShares(shares: number): Quantity | null {
  const match = /^(\d{1,7})(?:\.(\d{1,6}))?$/.exec(String(shares))
  if (match === null) return null
  const quantity = Number(match[1]) * oneShare + Number((match[2] ?? '').padEnd(6, '0'))
  return quantity > 0 ? quantity : null
}

/** The number of shares as a JSON number. */
export function sharesFromQuantity(quantity: Quantity): number {
  return Number(`${String(Math.trunc(quantity / oneShare))}.${String(quantity % oneShare).padStart(6, '0')}`)
}
