import { z } from 'zod'

/** How the simulated exchange treats its customers. */
export interface ExchangeBehaviour {
  /** How long it thinks about an order. */
  readonly latencyMs: number
  /** Assets it rejects, and the reason it gives. Anything not listed is rejected as UNKNOWN_ASSET. */
  readonly rejects: Readonly<Record<string, string>>
  /** Assets whose orders it cannot take in: it answers 503 for ever, yet still confirms a withdrawal. */
  readonly halted: readonly string[]
  /** After so many order requests it answers everything with 503 for so long. */
  readonly outages: readonly { readonly afterRequests: number; readonly forMs: number }[]
}

const behaviourSchema: z.ZodType<ExchangeBehaviour> = z.strictObject({
  latencyMs: z.number().nonnegative().default(10),
  rejects: z.record(z.string(), z.string()).default({ OIBR3: 'TRADING_SUSPENDED', GOLL4: 'DELISTED' }),
  halted: z.array(z.string()).default(['AMER3']),
  outages: z
    .array(z.strictObject({ afterRequests: z.int().nonnegative(), forMs: z.number().positive() }))
    .default([{ afterRequests: 120, forMs: 700 }]),
})

/** Fills in what the configuration (JSON) leaves out. @throws ZodError naming what is wrong */
export function parseBehaviour(json: string): ExchangeBehaviour {
  return behaviourSchema.parse(JSON.parse(json))
}

const listed = ['PETR4', 'VALE3', 'ITUB4', 'BBDC4', 'ABEV3', 'B3SA3', 'WEGE3', 'MGLU3', 'BBAS3', 'SUZB3'] as const
/** Tickers the exchange knows and fills. */
export const listedAssets: readonly string[] = listed

export type Decision =
  | { readonly outcome: 'filled'; readonly reason: null }
  | { readonly outcome: 'rejected'; readonly reason: string }

/** Pure: the same asset is always decided the same way. */
export function decide(asset: string, behaviour: ExchangeBehaviour): Decision {
  const reason = behaviour.rejects[asset]
  if (reason !== undefined) return { outcome: 'rejected', reason }
  return listedAssets.includes(asset)
    ? { outcome: 'filled', reason: null }
    : { outcome: 'rejected', reason: 'UNKNOWN_ASSET' }
}
