import { quoteIdentifier } from './identifiers.ts'

/** Each is complete in itself, so that a pool serves as well as a client. $1 is the consumer's name, except where it says so. */
export type ConsumerStoreStatements = ReturnType<typeof consumerStoreStatements>

// eslint-disable-next-line @typescript-eslint/explicit-function-return-type -- the names below are the type
export function consumerStoreStatements(schema: string) {
  const s = quoteIdentifier(schema)
  return {
    // $2 message, $3 stream or null.
    look: `
      select coalesce(c.calls, 0) as calls, coalesce(c.unended, 0) as unended,
        exists (select from ${s}.held_streams where consumer = $1 and stream = $3::bytea) as "isHeld"
      from (select 1) as one left join ${s}.consumer_calls as c on c.consumer = $1 and c.message = $2::bytea`,

    // $2 message.
    begin: `
      insert into ${s}.consumer_calls as known (consumer, message, calls, unended) values ($1, $2::bytea, 1, 1)
      on conflict (consumer, message) do update
        set calls = known.calls + 1, unended = known.unended + 1, updated_at = now()`,

    // $2 message, $3 calls that are taken back. Relative: another process may have begun meanwhile.
    ended: `
      update ${s}.consumer_calls set calls = calls - $3::integer, unended = greatest(unended - 1, 0), updated_at = now()
      where consumer = $1 and message = $2::bytea`,

    // $2 message, $3 calls so far.
    count: `
      insert into ${s}.consumer_calls as known (consumer, message, calls, unended) values ($1, $2::bytea, $3, 0)
      on conflict (consumer, message) do update set calls = greatest(known.calls, excluded.calls), updated_at = now()`,

    // $2 message.
    forget: `delete from ${s}.consumer_calls where consumer = $1 and message = $2::bytea`,

    // $2 days. Calls of messages that were acknowledged by other means, or whose queue was purged.
    sweep: `delete from ${s}.consumer_calls where consumer = $1 and updated_at < now() - make_interval(days => $2)`,

    // $2 stream, $3 topic, $4 ordering key, $5 message, $6 message id, $7 type, $8 content, $9 note. A message that was there keeps
    // its place: it is dead once more. Its calls are forgotten here and not afterwards, when the process may be gone: an operator's
    // retry has a full count.
    hold: `
      with forgotten as (delete from ${s}.consumer_calls where consumer = $1 and message = $5::bytea),
      held as (
        insert into ${s}.held_streams (consumer, stream, topic, ordering_key) values ($1, $2::bytea, $3, $4)
        on conflict (consumer, stream) do update set is_held = true, claim = null, claimed_until = null)
      insert into ${s}.held_messages (consumer, stream, message, message_id, type, content, note)
      values ($1, $2::bytea, $5::bytea, $6, $7, $8::bytea, $9::jsonb)
      on conflict on constraint held_messages_message_key do update set note = excluded.note`,

    // $2 stream, $3 message, $4 message id, $5 type, $6 content. The foreign key refuses it when the hold ends meanwhile.
    park: `
      with held as (select 1 from ${s}.held_streams where consumer = $1 and stream = $2::bytea),
      parked as (
        insert into ${s}.held_messages (consumer, stream, message, message_id, type, content)
        select $1, $2::bytea, $3::bytea, $4, $5, $6::bytea from held
        on conflict on constraint held_messages_message_key do nothing)
      select exists (select from held) as "isHeld"`,

    // $2 claim, $3 lease in ms. Skips what another process is claiming now.
    claim: `
      update ${s}.held_streams set claim = $2::uuid, claimed_until = now() + make_interval(secs => $3 / 1000.0)
      where (consumer, stream) = (
        select consumer, stream from ${s}.held_streams
        where consumer = $1 and not is_held and (claimed_until is null or claimed_until < now())
        order by held_at limit 1 for update skip locked)
      returning stream`,

    // $2 stream, $3 claim, $4 lease in ms.
    renew: `
      update ${s}.held_streams set claimed_until = now() + make_interval(secs => $4 / 1000.0)
      where consumer = $1 and stream = $2::bytea and claim = $3::uuid and not is_held returning 1`,

    // $2 stream, $3 claim.
    next: `
      select m.position::text as position, m.content
      from ${s}.held_streams as h join ${s}.held_messages as m using (consumer, stream)
      where h.consumer = $1 and h.stream = $2::bytea and h.claim = $3::uuid and not h.is_held
      order by m.position limit 1`,

    // $2 stream, $3 claim, $4 position.
    done: `
      delete from ${s}.held_messages as m using ${s}.held_streams as h
      where m.consumer = $1 and m.stream = $2::bytea and m.position = $4::bigint
        and h.consumer = m.consumer and h.stream = m.stream and h.claim = $3::uuid returning 1`,

    // $2 stream, $3 claim. Refused by the foreign key while a message waits, also one that came this instant.
    end: `delete from ${s}.held_streams where consumer = $1 and stream = $2::bytea and claim = $3::uuid`,

    // $2 stream, $3 claim.
    unclaim: `
      update ${s}.held_streams set claim = null, claimed_until = null
      where consumer = $1 and stream = $2::bytea and claim = $3::uuid`,

    // $1 consumer or null, $2 limit.
    list: `
      select h.consumer, h.topic, h.ordering_key as "orderingKey", h.held_at as "heldAt", h.is_held as "isHeld",
        dead.message_id as "deadMessageId", dead.type as "deadMessageType", dead.note,
        (select count(*)::integer from ${s}.held_messages as m
          where m.consumer = h.consumer and m.stream = h.stream and m.note is null) as waiting
      from ${s}.held_streams as h left join lateral (
        select message_id, type, note from ${s}.held_messages as m
        where m.consumer = h.consumer and m.stream = h.stream and m.note is not null order by position limit 1) as dead on true
      where $1::text is null or h.consumer = $1
      order by h.held_at limit $2`,

    // $2 stream, $3 whether the dead letter is thrown away, $4 who, $5 why.
    release: `
      with freed as (
        update ${s}.held_streams set is_held = false where consumer = $1 and stream = $2::bytea and is_held
        returning consumer, stream, topic, ordering_key),
      gone as (
        delete from ${s}.held_messages as m using freed
        where $3::boolean and m.consumer = freed.consumer and m.stream = freed.stream and m.note is not null
        returning m.message_id),
      noted as (
        insert into ${s}.operator_actions (operator, action, reason, target, affected)
        select coalesce($4::text, current_user), case when $3 then 'discard' else 'release' end, $5::text,
          jsonb_agg(jsonb_build_object('consumer', consumer, 'topic', topic, 'ordering_key', ordering_key,
            'message_id', (select min(message_id) from gone))), 1
        from freed having count(*) > 0)
      select count(*)::integer as done from freed`,
  }
}
