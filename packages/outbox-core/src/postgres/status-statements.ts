import { quoteIdentifier } from './identifiers.ts'
import { isDead, isPresent } from './membership.ts'

/** Texts are cut for the eyes of people; the whole is in `malote messages show`. */
const words = 300

/**
 * Everything `outboxStatus` tells, as one JSON value from one snapshot.
 *
 * A row of `messages` is due and not published, whatever it waits for: the age of the oldest is the age of the problem. A
 * scheduled message counts from the instant it was due, so one that no relay fetched is seen too.
 */
export function statusStatement(schema: string): string {
  const s = quoteIdentifier(schema)
  const iso = (value: string): string => `to_char(${value} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
  // Plain SQL may have written an instant at infinity, from which nothing can be subtracted before PostgreSQL 17.
  const age = (value: string): string =>
    `case when isfinite(${value}) then greatest(0, round(extract(epoch from clock_timestamp() - ${value}) * 1000)) else 0 end`
  return `
    with living as materialized (select r.id from ${s}.relays as r where not ${isDead}),
    unpublished as materialized (
      select m.topic, m.created_at as due_at,
        case when held.topic is not null then 'held' when m.available_at is null then 'ready' else 'waiting' end as state
      from ${s}.messages as m
      left join ${s}.held_keys as held on held.lane = m.lane and held.topic = m.topic and held.ordering_key = m.ordering_key
      union all
      select topic, available_at, 'overdue' from ${s}.scheduled_messages where available_at <= clock_timestamp()),
    by_topic as (
      select topic, count(*) filter (where state = 'ready') as ready, count(*) filter (where state = 'waiting') as waiting,
        count(*) filter (where state = 'held') as held, count(*) filter (where state = 'overdue') as overdue,
        min(due_at) as oldest, max(due_at) as newest from unpublished group by topic),
    topics as (
      select topic, coalesce(t.ready, 0) as ready, coalesce(t.waiting, 0) as waiting, coalesce(t.held, 0) as held,
        coalesce(t.overdue, 0) as overdue, t.oldest, coalesce(flow.published, 0) as published, flow.last_published_at,
        greatest(flow.last_added_at, t.newest) as last_added_at,
        coalesce(d.dead, 0) as dead
      from by_topic as t full join ${s}.flow using (topic)
      full join (select topic, count(*) as dead from ${s}.dead_letters group by topic) as d using (topic)),
    retries as (
      select m.topic, m.failures -> -1 ->> 'code' as code, count(*) as messages, max(m.attempts) as attempts,
        min(m.created_at) as oldest,
        (array_agg(left(m.failures -> -1 ->> 'message', ${String(words)}) order by m.failures -> -1 ->> 'at' desc))[1] as words
      from ${s}.messages as m where m.available_at is not null and m.failures is not null group by 1, 2),
    dead as (
      select d.topic, d.reason, d.failures -> -1 ->> 'code' as code, count(*) as messages, min(d.died_at) as oldest,
        (array_agg(left(d.failures -> -1 ->> 'message', ${String(words)}) order by d.dead_letter_id desc))[1] as words
      from ${s}.dead_letters as d group by 1, 2, 3)
    select json_build_object(
      'observedAt', ${iso('clock_timestamp()')},
      'ready', (select coalesce(sum(ready), 0) from topics),
      'waiting', (select coalesce(sum(waiting), 0) from topics),
      'held', (select coalesce(sum(held), 0) from topics),
      'scheduled', (select count(*) from ${s}.scheduled_messages),
      'deadLetters', (select count(*) from ${s}.dead_letters),
      'heldKeys', (select count(*) from ${s}.held_keys),
      'oldestHeldKeyMs', (select ${age('min(held_at)')} from ${s}.held_keys having count(*) > 0),
      'oldestUnpublishedMs', (select ${age('min(oldest)')} from topics where oldest is not null having count(*) > 0),
      'addedTotal', (select coalesce(sum(published + ready + waiting + held + overdue + dead), 0) from topics),
      'publishedTotal', (select coalesce(sum(published), 0) from topics),
      'lastAddedAt', (select ${iso('max(last_added_at)')} from topics),
      'lastPublishedAt', (select ${iso('max(last_published_at)')} from topics),
      'topics', (select coalesce(json_agg(json_build_object('topic', topic, 'ready', ready, 'waiting', waiting, 'held', held,
          'overdueScheduled', overdue, 'deadLetters', dead, 'published', published,
          'oldestUnpublishedMs', case when oldest is not null then ${age('oldest')} end,
          'lastAddedAt', ${iso('last_added_at')}, 'lastPublishedAt', ${iso('last_published_at')}) order by oldest nulls last, topic), '[]')
        from topics),
      'retries', (select coalesce(json_agg(json_build_object('topic', topic, 'code', code, 'messages', messages,
          'attempts', attempts, 'oldestMs', ${age('oldest')}, 'lastWords', words) order by messages desc, topic, code), '[]') from retries),
      'deadLetterGroups', (select coalesce(json_agg(json_build_object('topic', topic, 'reason', reason, 'code', code,
          'messages', messages, 'oldestMs', ${age('oldest')}, 'lastWords', words) order by messages desc, topic, code), '[]') from dead),
      'outages', (select coalesce(json_agg(json_build_object('destination', nullif(o.destination, ''), 'topics', o.topics,
          'since', ${iso('o.since')}, 'sinceMs', ${age('o.since')}, 'code', o.code, 'message', left(o.message, ${String(words)}),
          'backlog', (select count(*) from ${s}.messages as m where o.destination = '' or m.topic = any(o.topics))) order by o.since), '[]')
        from (
          select destination, array_remove(array_agg(distinct stopped.topic), null) as topics, min(outages.started_at) as since,
            min(code) as code, min(message) as message
          from ${s}.outages left join lateral unnest(topics) as stopped (topic) on true
          where outages.relay in (select id from living)
          group by destination) as o),
      'pausedTopics', (select coalesce(json_agg(topic order by paused_at), '[]') from ${s}.paused_topics),
      'relays', (select coalesce(json_agg(json_build_object('id', r.id, 'name', r.name,
          'isAlive', r.id in (select id from living), 'isConnected', case when r.presence_key is not null then ${isPresent} end,
          'lanes', (select count(*) from ${s}.lanes where owner = r.id), 'startedAt', ${iso('r.started_at')},
          'leaseMs', round(extract(epoch from r.lease_until - clock_timestamp()) * 1000),
          'fullLeaseMs', r.lease_ms, 'publishTimeoutMs', r.publish_timeout_ms,
          'hasSession', r.has_session, 'hearsDoorbell', r.hears_doorbell) order by r.started_at), '[]')
        from ${s}.relays as r),
      'lanesWithoutRelay', (select count(*) from ${s}.lanes where owner is null or owner not in (select id from living))
    )::text as status`
}
