import { quoteIdentifier } from './identifiers.ts'
import { isDead } from './membership.ts'

const bytes = 'coalesce(octet_length(m.payload), octet_length(m.payload_binary))'

/**
 * Finds messages wherever they are, without bodies. Each parameter null, or: $1 id, $2 topic, $3 ordering key, $4 state;
 * $5 limit; $6 type, $7 since and $8 until (added; archived: published), $9 code of the last failure, $10 reason of death. Oldest
 * first. The archive is searched only `withArchive`: it may hold months.
 */
export function findMessagesStatement(schema: string, withArchive: boolean): string {
  const s = quoteIdentifier(schema)
  const wanted = (instant = 'm.created_at'): string =>
    `($1::uuid is null or m.id = $1) and ($2::text is null or m.topic = $2) and ($3::text is null or m.ordering_key = $3)
        and ($6::text is null or m.type = $6)
        and ($7::timestamptz is null or ${instant} >= $7) and ($8::timestamptz is null or ${instant} < $8)`
  // The planner knows the parameters' values, so a null folds its condition away and what is left finds its index.
  const archived = `
      union all
      (select m.id, m.topic, m.type, m.ordering_key, m.created_at, m.attempts, m.failures, null, 'archived', m.published_at, null, null,
        null, ${bytes}, null
      from ${s}.archived_messages as m
      where ${wanted('m.published_at')} and ($4::text is null or $4 = 'archived') and $10::text is null
        and ($9::text is null or m.failures -> -1 ->> 'code' = $9)
        and ($3::text is null or hashtextextended(m.ordering_key collate "C", 0) = hashtextextended($3 collate "C", 0))
      order by m.published_at, m.seq limit $5)`
  return `
    with all_of_them as (
      select m.id, m.topic, m.type, m.ordering_key, m.created_at, m.attempts, m.failures, m.available_at as due_at,
        case when held.topic is not null then 'held' when m.available_at is null then 'ready' else 'waiting' end as state,
        held.held_at as since, held.dead_letter_id::text as dead_letter_id, held.held_by, m.lane,
        ${bytes} as bytes, null::text as reason
      from ${s}.messages as m
      left join ${s}.held_keys as held on held.lane = m.lane and held.topic = m.topic and held.ordering_key = m.ordering_key
      where ${wanted()}
      union all
      select m.id, m.topic, m.type, m.ordering_key, m.created_at, 0, null, m.available_at, 'scheduled', null, null, null, null,
        ${bytes}, null
      from ${s}.scheduled_messages as m where ${wanted()}
      union all
      select m.id, m.topic, m.type, m.ordering_key, m.created_at, m.attempts, m.failures, null, 'dead', m.died_at,
        m.dead_letter_id::text, null, m.lane, ${bytes}, m.reason
      from ${s}.dead_letters as m where ${wanted()}${withArchive ? archived : ''})
    select id, found.topic, type, ordering_key as "orderingKey", state, created_at as "createdAt", due_at as "dueAt", since,
      attempts, dead_letter_id as "deadLetterId", held_by as "heldBy", paused.paused_by as "pausedBy",
      (select o.destination from ${s}.outages as o
        join ${s}.relays as r on r.id = o.relay and not ${isDead}
        where o.destination = '' or found.topic = any(o.topics) order by o.destination limit 1) as outage, lane, bytes, coalesce(failures, '[]') as failures
    from all_of_them as found left join ${s}.paused_topics as paused on paused.topic = found.topic
    where ($4::text is null or state = $4) and ($9::text is null or failures -> -1 ->> 'code' = $9)
      and ($10::text is null or found.reason = $10)
    order by created_at, id limit $5`
}
