import type { Queryable } from '@malote/outbox-core'
import { sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Knex } from 'knex'
import type { TransactionSql } from 'postgres'

// #region drizzle
type DrizzleTransaction = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]

export function drizzleQueryable(tx: DrizzleTransaction): Queryable {
  return {
    query: async (text, values) => {
      const parts = text.split(/\$(\d+)/).map((part, i) => (i % 2 ? sql`${values[Number(part) - 1]}` : sql.raw(part)))
      const { rows } = await tx.execute(sql.join(parts))
      return { rows }
    },
  }
}
// #endregion

// #region knex
export function knexQueryable(trx: Knex.Transaction): Queryable {
  return {
    query: async (text, values) => {
      const bindings = Object.fromEntries(values.map((value, i) => [`p${String(i + 1)}`, value]))
      const { rows } = await trx.raw(text.replace(/\$(\d+)/g, ':p$1'), bindings as Record<string, never>)
      return { rows }
    },
  }
}
// #endregion

// #region postgres-js
export function postgresJsQueryable(tx: TransactionSql): Queryable {
  return { query: async (text, values) => ({ rows: await tx.unsafe(text, values as never[]) }) }
}
// #endregion
