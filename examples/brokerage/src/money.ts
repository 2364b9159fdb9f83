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
  return Number(`${String(Math.trunc(centavos / 100))}.${String(Math.abs(centavos % 100)).padStart(2, '0')}`)
}

/** For people: `R$ 1,234.50`. */
export function formatBrl(centavos: Centavos): string {
  const sign = centavos < 0 ? '-' : ''
  const whole = Math.trunc(Math.abs(centavos) / 100).toLocaleString('en-US')
  return `${sign}R$ ${whole}.${String(Math.abs(centavos) % 100).padStart(2, '0')}`
}
