import { z } from 'zod'
import { type Centavos, oneShare, type Quantity } from '../money.ts'
import type { Side } from '../orders/order.ts'

/** What somebody may do to the exchange while it runs. `{}` restores it. */
export interface ExchangeFaults {
  /** Answers everything with 503. */
  readonly down?: boolean | undefined
  /** Thinks so long about each order. */
  readonly slowMs?: number | undefined
  /** Rejects every order. */
  readonly rejecting?: boolean | undefined
  /** Executes orders and cuts the connection without an answer; does not say either what became of them. */
  readonly unknown?: boolean | undefined
}

export const exchangeFaults: z.ZodType<ExchangeFaults> = z.strictObject({
  down: z.boolean().optional(),
  slowMs: z.number().min(0).max(60_000).optional(),
  rejecting: z.boolean().optional(),
  unknown: z.boolean().optional(),
})

/** How the simulated exchange treats its customers. */
export interface ExchangeBehaviour {
  /** How long it thinks about an order. */
  readonly latencyMs: number
  /** Assets it rejects, and the reason it gives. Anything not listed is rejected as UNKNOWN_ASSET. */
  readonly rejects: Readonly<Record<string, string>>
  /** Assets of which it fills only this part of an order, from 0 to 1, and cancels the rest. */
  readonly partial: Readonly<Record<string, number>>
  /** Assets in an auction: so many times it answers 503 to each order, and then decides it. */
  readonly inAuction: Readonly<Record<string, number>>
  /** After so many order requests it answers everything with 503 for so long. */
  readonly outages: readonly { readonly afterRequests: number; readonly forMs: number }[]
}

const behaviourSchema: z.ZodType<ExchangeBehaviour> = z.strictObject({
  latencyMs: z.number().nonnegative().default(10),
  rejects: z
    .record(z.string(), z.string())
    .default({ OIBR3: 'TRADING_SUSPENDED', GOLL4: 'DELISTED', AMER3: 'NO_BUYERS' }),
  partial: z.record(z.string(), z.number().min(0.01).max(1)).default({ MGLU3: 0.6 }),
  inAuction: z.record(z.string(), z.int().positive()).default({ AMER3: 3 }),
  outages: z
    .array(z.strictObject({ afterRequests: z.int().nonnegative(), forMs: z.number().positive() }))
    .default([{ afterRequests: 120, forMs: 700 }]),
})

/** Fills in what the configuration (JSON) leaves out. @throws ZodError naming what is wrong */
export function parseBehaviour(json: string): ExchangeBehaviour {
  return behaviourSchema.parse(JSON.parse(json))
}

/** What a share cost when trading began, in centavos. */
export const openingPrices: Readonly<Record<string, Centavos>> = {
  PETR4: 3_742,
  VALE3: 6_118,
  ITUB4: 3_420,
  BBDC4: 1_385,
  ABEV3: 1_207,
  B3SA3: 1_165,
  WEGE3: 5_230,
  MGLU3: 912,
  BBAS3: 2_744,
  SUZB3: 5_489,
  OIBR3: 145,
  GOLL4: 118,
  AMER3: 87,
}

/** Tickers the exchange knows and fills. */
export const listedAssets: readonly string[] = Object.keys(openingPrices).slice(0, 10)

export interface ExchangeOrder {
  readonly clientOrderId: string
  readonly asset: string
  readonly side: Side
  readonly quantity: Quantity
  readonly limitPriceCentavos: Centavos
}

export type Decision =
  | { readonly outcome: 'filled'; readonly quantity: Quantity; readonly priceCentavos: Centavos }
  | { readonly outcome: 'rejected'; readonly reason: string }

/** Pure: the same order is always decided the same way. */
export function decide(order: ExchangeOrder, behaviour: ExchangeBehaviour, faults: ExchangeFaults = {}): Decision {
  if (faults.rejecting === true) return { outcome: 'rejected', reason: 'MARKET_CLOSED' }
  const reason = behaviour.rejects[order.asset]
  if (reason !== undefined) return { outcome: 'rejected', reason }
  if (!listedAssets.includes(order.asset)) return { outcome: 'rejected', reason: 'UNKNOWN_ASSET' }
  const part = behaviour.partial[order.asset] ?? 1
  return {
    outcome: 'filled',
    // A part is in whole shares where there is more than one.
    quantity: part === 1 ? order.quantity : partOf(order.quantity, part),
    priceCentavos: betterPrice(order),
  }
}

function partOf(quantity: Quantity, part: number): Quantity {
  const filled = Math.max(1, Math.floor(quantity * part))
  return filled > oneShare ? filled - (filled % oneShare) : filled
}

/** Up to 0.5 % better than the limit, by the last digits of the order's id. */
function betterPrice({ clientOrderId, side, limitPriceCentavos }: ExchangeOrder): Centavos {
  const luck = Number.parseInt(clientOrderId.slice(-4), 16) / 0xff_ff
  const difference = Math.floor(limitPriceCentavos * 0.005 * luck)
  return Math.max(1, limitPriceCentavos + (side === 'BUY' ? -difference : difference))
}
