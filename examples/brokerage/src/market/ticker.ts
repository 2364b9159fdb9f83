import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import type { Centavos } from '../money.ts'

/** What the ticker tells of, each second. */
export const tickedAssets: readonly string[] = ['PETR4', 'VALE3', 'ITUB4', 'BBDC4', 'ABEV3']

/** Name of the notification that carries each second's quotes. */
export const quotesChannel = 'brokerage_quotes'

export interface Quote {
  readonly asset: string
  readonly price: Centavos
  /** Of the last five minutes. */
  readonly average: Centavos
  readonly at: string
}

/** The next price: up or down by up to 0.3 %, never below a centavo. Pure. @param drawn - uniform in [0, 1) */
export function nextPrice(price: Centavos, drawn: number): Centavos {
  return Math.max(1, Math.round(price * (1 + (drawn - 0.5) * 0.006)))
}

/** Writes one tick of each asset, forgets what is older than five minutes, and tells whoever listens. All in one statement. */
export async function tick(db: Database, random: () => number): Promise<void> {
  const { rows } = await sql<{ asset: string; price: Centavos }>`
    select asset, price_centavos as price from quotes where asset = any(${tickedAssets}::text[]) order by asset`.execute(
    db,
  )
  const next = rows.map(({ asset, price }) => ({ asset, price: nextPrice(price, random()) }))
  await sql`
    with given as (
      select asset, price from json_to_recordset(${JSON.stringify(next)}::json) as given (asset text, price bigint)
    ),
    forgotten as (delete from ticks where ticked_at < clock_timestamp() - interval '5 minutes'),
    ticked as (insert into ticks (asset, price_centavos) select asset, price from given),
    quoted as (
      update quotes
      set price_centavos = price, quoted_at = clock_timestamp(),
        -- The new tick is not visible to this statement's own snapshot.
        average_centavos = (
          select round((coalesce(sum(price_centavos), 0) + price) / (count(*) + 1))
          from ticks where ticks.asset = given.asset and ticked_at >= clock_timestamp() - interval '5 minutes')
      from given where quotes.asset = given.asset
      returning quotes.asset, price_centavos as price, average_centavos as average, quoted_at as at
    )
    select pg_notify(${quotesChannel}, json_agg(quoted order by asset)::text) from quoted`.execute(db)
}
