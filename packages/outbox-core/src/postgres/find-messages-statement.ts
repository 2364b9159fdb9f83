import { quoteIdentifier } from './identifiers.ts'
import { isDead } from './membership-statements.ts'

/**
 * Finds messages wherever they are, without bodies. Each parameter null, or: $1 id, $2 topic, $3 ordering key, $4 state;
 * $5 limit. Oldest first.
 */
export function findMessagesStatement(schema: string): string {
  const s = quoteIdentifier(schema)
  const wanted = (m: string): string =>
    `($1::uuid is null or ${m}.id = $1) and ($2::text is null or ${m}.topic = $2) and ($3::text is null or ${m}.ordering_key = $3)`
  return `
    with all_of_them as (
      select m.id, m.topic, m.type, m.ordering_key, m.created_at, m.attempts, m.failures, m.available_at as due_at,
        case when held.topic is not null then 'held' when m.available_at is null then 'ready' else 'waiting' end as state,
        held.held_at as since, held.dead_letter_id::text as dead_letter_id, held.held_by, m.lane,
        coalesce(octet_length(m.payload), octet_length(m.payload_binary)) as bytes
      from ${s}.messages as m
      left join ${s}.held_keys as held on held.lane = m.lane and held.topic = m.topic and held.ordering_key = m.ordering_key
      where ${wanted('m')}
      union all
      select m.id, m.topic, m.type, m.ordering_key, m.created_at, 0, null, m.available_at, 'scheduled', null, null, null, null,
        coalesce(octet_length(m.payload), octet_length(m.payload_binary))
      from ${s}.scheduled_messages as m where ${wanted('m')}
      union all
      select m.id, m.topic, m.type, m.ordering_key, m.created_at, m.attempts, m.failures, null, 'dead', m.died_at,
        m.dead_letter_id::text, null, m.lane, coalesce(octet_length(m.payload), octet_length(m.payload_binary))
      from ${s}.dead_letters as m where ${wanted('m')})
    select id, found.topic, type, ordering_key as "orderingKey", state, created_at as "createdAt", due_at as "dueAt", since,
      attempts, dead_letter_id as "deadLetterId", held_by as "heldBy", paused.paused_by as "pausedBy",
      (select o.destination from ${s}.outages as o
        join ${s}.relays as r on r.id = o.relay and not ${isDead}
        where o.destination = '' or found.topic = any(o.topics) order by o.destination limit 1) as outage, lane, bytes, coalesce(failures, '[]') as failures
    from all_of_them as found left join ${s}.paused_topics as paused on paused.topic = found.topic
    where $4::text is null or state = $4
    order by created_at, id limit $5`
}
