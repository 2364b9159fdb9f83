import { quoteIdentifier } from './identifiers.ts'

/** The statements of dead letters and held keys. Each is complete in itself, so that a pool serves as well as a client. */
export interface OperatorStatements {
  readonly listDeadLetters: string
  readonly getDeadLetter: string
  readonly replay: string
  readonly discard: string
  readonly purge: string
  readonly listHeldKeys: string
  readonly releaseHeldKey: string
  readonly holdKey: string
  readonly listPausedTopics: string
  readonly pauseTopic: string
  readonly resumeTopic: string
  readonly noteAction: string
  readonly listOperatorActions: string
}

const summary = `letter.dead_letter_id::text as "deadLetterId", letter.id, letter.topic, letter.type,
  letter.ordering_key as "orderingKey", letter.attempts, letter.reason, letter.created_at as "createdAt",
  letter.died_at as "diedAt", letter.failures -> -1 as "lastFailure"`

/** What the note about a decision keeps of each dead letter: enough to find it elsewhere, never its body. */
const target = 'dead_letter_id, id, topic, type, ordering_key, reason'

export function operatorStatements(schema: string): OperatorStatements {
  const s = quoteIdentifier(schema)
  // Deleting a held key and telling relays. They look at held keys at every poll as well; the ring only makes it sooner.
  const freed = (action: string): string => `
    freed as (
      delete from ${s}.held_keys as held using gone where held.dead_letter_id = gone.dead_letter_id returning 1),
    ${noted(action)}
    select count(*)::integer as done, pg_notify($2, 'keys') from gone`
  // In the statement that acts: what was decided is known exactly when it was done. $3 operator, $4 reason.
  const noted = (action: string): string => `
    noted as (
      insert into ${s}.operator_actions (operator, action, reason, target, affected)
      select coalesce($3::text, current_user), '${action}', $4::text, jsonb_agg(to_jsonb(gone)), count(*)
      from (select ${target} from gone) as gone having count(*) > 0)`
  // The same for topics and keys: what was changed is in `from`.
  const steered = (action: string, from: string, who: string, why = '$4'): string => `
    noted as (
      insert into ${s}.operator_actions (operator, action, reason, target, affected)
      select coalesce(${who}::text, current_user), '${action}', ${why}::text, jsonb_agg(to_jsonb(${from})), count(*)
      from ${from} having count(*) > 0)`
  return {
    // Each null, or: $1 topic, $2 id to continue below, $4 type, $5 reason, $6 ordering key, $7 since. $3 limit.
    listDeadLetters: `
      select ${summary} from ${s}.dead_letters as letter
      where ($1::text is null or letter.topic = $1) and ($2::bigint is null or letter.dead_letter_id < $2)
        and ($4::text is null or letter.type = $4) and ($5::text is null or letter.reason = $5)
        and ($6::text is null or letter.ordering_key = $6) and ($7::timestamptz is null or letter.died_at >= $7)
      order by letter.dead_letter_id desc limit $3`,

    // $1 id.
    getDeadLetter: `
      select ${summary}, letter.content_type as "contentType", letter.headers::text as headers, letter.payload,
        letter.payload_binary as "payloadBinary", coalesce(letter.failures, '[]') as failures
      from ${s}.dead_letters as letter where letter.dead_letter_id = $1::bigint`,

    // $1 ids, $2 channel, $3 operator or null, $4 reason or null. The old seq puts the message back in its place. It is inserted as waiting and due, because relays
    // have long read past that seq: waiting messages are read without regard to the floor.
    replay: `
      with gone as (delete from ${s}.dead_letters where dead_letter_id = any($1::bigint[]) returning *),
      back as (
        insert into ${s}.messages (seq, id, topic, type, ordering_key, payload, payload_binary, content_type, headers,
          created_at, available_at, failures)
        overriding system value
        select seq, id, topic, type, ordering_key, payload, payload_binary, content_type, headers,
          created_at, clock_timestamp(), failures from gone
        order by seq),
      ${freed('replay')}`,

    // $1 ids, $2 channel, $3 operator or null, $4 reason or null.
    discard: `
      with gone as (delete from ${s}.dead_letters where dead_letter_id = any($1::bigint[]) returning *),
      ${freed('discard')}`,

    // $1 age in days, $2 channel, $3 operator or null, $4 reason or null, $5 limit. Oldest first, by the primary key: ids rise as messages die.
    purge: `
      with gone as (
        delete from ${s}.dead_letters where dead_letter_id = any(array(
          select dead_letter_id from ${s}.dead_letters where died_at < now() - $1::float8 * interval '1 day'
          order by dead_letter_id limit $5 for update skip locked))
        returning *),
      ${freed('purge')}`,

    // $1 limit.
    listHeldKeys: `
      select held.topic, held.ordering_key as "orderingKey", held.dead_letter_id::text as "deadLetterId",
        held.held_at as "heldAt", held.held_by as "heldBy", held.reason,
        (select count(*)::integer from ${s}.messages as m
          where m.lane = held.lane and m.topic = held.topic and m.ordering_key = held.ordering_key) as waiting
      from ${s}.held_keys as held
      order by held.held_at limit $1`,

    // $1 topic, $2 ordering key, $3 operator or null, $4 reason or null, $5 channel.
    releaseHeldKey: `
      with gone as (
        delete from ${s}.held_keys where topic = $1 and ordering_key = $2 returning topic, ordering_key, dead_letter_id),
      ${steered('release', 'gone', '$3')}
      select count(*)::integer as done, pg_notify($5, 'keys') from gone`,

    // $1 topic, $2 ordering key, $3 who, $4 why, $5 channel.
    holdKey: `
      with held as (
        insert into ${s}.held_keys (topic, ordering_key, held_by, reason) values ($1, $2, $3, $4)
        on conflict do nothing returning topic, ordering_key),
      ${steered('hold', 'held', '$3')}
      select count(*)::integer as done, pg_notify($5, 'keys') from held`,

    listPausedTopics: `
      select topic, paused_by as "pausedBy", reason, paused_at as "pausedAt" from ${s}.paused_topics order by paused_at`,

    // $1 topic, $2 who, $3 why, $4 channel.
    pauseTopic: `
      with paused as (
        insert into ${s}.paused_topics (topic, paused_by, reason) values ($1, $2, $3) on conflict do nothing
        returning topic),
      ${steered('pause', 'paused', '$2', '$3')}
      select count(*)::integer as done, pg_notify($4, 'lanes') from paused`,

    // $1 topic, $2 who or null, $3 why or null, $4 channel.
    resumeTopic: `
      with gone as (delete from ${s}.paused_topics where topic = $1 returning topic),
      ${steered('resume', 'gone', '$2', '$3')}
      select count(*)::integer as done, pg_notify($4, 'lanes') from gone`,

    // $1 operator, $2 action, $3 reason or null, $4 target (JSON), $5 how many. For what cannot be noted in the statement that does it.
    noteAction: `
      insert into ${s}.operator_actions (operator, action, reason, target, affected)
      values ($1, $2, $3, $4::text::jsonb, $5::integer)`,

    // $1 limit. Newest first.
    listOperatorActions: `
      select operator_action_id::text as "operatorActionId", at, operator, database_role as "databaseRole", action, target,
        reason, affected
      from ${s}.operator_actions order by operator_action_id desc limit $1`,
  }
}
