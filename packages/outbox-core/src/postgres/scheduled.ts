import type { Connection } from './connections.ts'
import { commitMode } from './fragments.ts'
import { quoteIdentifier } from './identifiers.ts'

/** Moves up to `limit` messages for later, which are due, among the ready ones. @returns how many it moved */
export type MoveScheduled = (limit: number) => Promise<number>

export function createMoveScheduled(
  connection: Connection,
  { schema, isDurable }: { readonly schema: string; readonly isDurable: boolean },
): MoveScheduled {
  const text = moveScheduledText(schema, isDurable)
  return async (limit) => (await connection.query<{ moved: number }>(text, [limit, schema])).rows[0]?.moved ?? 0
}

/** $1 integer limit, $2 text channel. One mover at a time, or two would interleave one key. A relay runs it between two
 * reads on the reading connection: it draws seq values and its own lock is not counted by its own floor. */
export function moveScheduledText(schema: string, isDurable: boolean): string {
  const s = quoteIdentifier(schema)
  return `
      with mode as materialized (${commitMode(isDurable)}),
      turn as materialized (select pg_try_advisory_xact_lock(hashtextextended('malote scheduled ' || $2, 0)) as mine from mode),
      due as materialized (
        select available_at, position from ${s}.scheduled_messages
        where available_at <= now() and (select mine from turn)
        order by available_at, position
        limit $1
        for update skip locked),
      moved as (
        delete from ${s}.scheduled_messages as m using due
        where m.available_at = due.available_at and m.position = due.position
        returning m.*),
      added as (
        insert into ${s}.messages (id, topic, type, ordering_key, payload, payload_binary, content_type, headers, created_at)
        select id, topic, type, ordering_key, payload, payload_binary, content_type,
          case when json_typeof(headers) = 'object' then headers end, created_at
        from moved order by available_at, position
        returning 1)
      select count(*)::integer as moved, case when count(*) > 0 then pg_notify($2, '') end from added`
}
