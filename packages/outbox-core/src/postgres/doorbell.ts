import type { Connection } from './connections.ts'
import { quoteIdentifier } from './identifiers.ts'

/** Rings of writers and operators come on the channel that has the schema's name. */
export interface DoorbellQueries {
  /** Calls back with the words of each ring from now on. */
  listen(onRing: (words: string) => void): Promise<void>
  ring(words: string): Promise<void>
  setAsleep(isAsleep: boolean): Promise<void>
}

/** @param other - rings. A pooler in transaction mode would hand a connection's own ring straight back, listening or not */
export function createDoorbellQueries(
  connection: Connection,
  other: Connection,
  { schema, relayId }: { readonly schema: string; readonly relayId: string },
): DoorbellQueries {
  const texts = doorbellTexts(schema)
  return {
    listen: async (onRing) => {
      connection.onNotification((channel, words) => {
        if (channel === schema) onRing(words)
      })
      await connection.query(`listen ${quoteIdentifier(schema)}`)
    },
    ring: async (words) => void (await other.query(texts.ring, [schema, words])),
    setAsleep: async (isAsleep) => void (await connection.query(texts.setAsleep, [relayId, isAsleep])),
  }
}

function doorbellTexts(schema: string): { readonly setAsleep: string; readonly ring: string } {
  const s = quoteIdentifier(schema)
  return {
    // $1 id, $2 whether asleep.
    setAsleep: `
      insert into ${s}.doorbell (relay, asleep) values ($1::uuid, $2::boolean)
      on conflict (relay) do update set asleep = excluded.asleep`,

    // $1 channel, $2 text.
    ring: `select pg_notify($1, $2)`,
  }
}
