import { quoteIdentifier } from './identifiers.ts'

/** The statements a running relay uses, in the order of a message's life. */
export interface RelayStatements {
  readonly messagesTable: string
  readonly check: string
  readonly loadBlocks: string
  readonly moveScheduled: string
  readonly read: string
  readonly readWaiting: string
  readonly readSamples: string
  readonly barrier: (sequence: string) => string
  readonly findMissed: string
  readonly deletePublished: string
  readonly archivePublished: string
  readonly scheduleRetries: string
  readonly buryDead: string
  readonly markTrial: string
}

/** Code of a failure that is the death of the relay. */
export const relayDied = 'RELAY_DIED'

const columns = `m.seq, m.lane, m.id, m.topic, m.type, m.ordering_key, m.payload, m.payload_binary, m.content_type,
  m.headers::text as headers, date_part('epoch', m.created_at) as created_s, m.attempts,
  case when m.failures -> -1 ->> 'code' = '${relayDied}' and jsonb_typeof(m.failures -> -1 -> 'among') = 'number'
    then greatest(1, least(1000, (m.failures -> -1 ->> 'among')::numeric))::integer end as died_among`

/** Of the body, as it will lie in the relay's memory. PostgreSQL knows it without unpacking what is compressed. */
const bodySize = 'coalesce(octet_length(m.payload), octet_length(m.payload_binary))::float8'

/** What the row takes in the relay's memory, and the larger of its two parts that have no bound of their own. */
const headersSize = (alias: string): string => `coalesce(octet_length(${alias}.headers), 0)`
const size = (alias: string): string => `${alias}.body_size + ${headersSize(alias)}`
const largest = (alias: string): string => `greatest(${alias}.body_size, ${headersSize(alias)})`

/** `$n` attempts. What ended so many relays, each time alone, is not looked at again. */
const notSpent = (n: number): string => `(o.died_among = 1 and o.attempts >= $${String(n)}::integer) is not true`

/** The columns of `o`, with body and headers only where the budget allows. A row without a body says how much it would take. */
const withinBudget = (isRead: string): string => `o.seq, o.lane, o.id, o.topic, o.type, o.ordering_key, o.content_type,
  o.created_s, o.attempts, o.died_among, ${size('o')} as size, ${largest('o')} as largest,
  case when ${isRead} then o.headers end as headers, case when ${isRead} then o.payload end as payload,
  case when ${isRead} then o.payload_binary end as payload_binary`

/** Bytes of the rows before this one that are read; those of which a part is above `$n` never are. */
const bytesBefore = (n: number, order: string): string =>
  `coalesce(sum(case when ${largest('sized')} <= $${String(n)}::float8 then ${size('sized')} end)
    over (order by ${order} rows between unbounded preceding and 1 preceding), 0)`

/** Same text as `orderOf`, and null for a message without a key. Collation "C": equality is equality of bytes. */
const order = (alias: string): string => `(${alias}.topic || e'\\n' || ${alias}.ordering_key) collate "C"`

/** What messages_waiting_in_order is made of: finds what waits of the order of `of`, in its sequence. */
const waitsInOrderOf = (alias: string, of: string): string =>
  `${alias}.available_at is not null and ${alias}.ordering_key is not null
            and hashtextextended(${order(alias)}, 0) = hashtextextended(${order(of)}, 0)
            and ${alias}.topic = ${of}.topic and ${alias}.ordering_key = ${of}.ordering_key`

/**
 * `$n::text[]` holds the orders that wait; an empty list is folded away when the statement is planned. Tens of thousands are
 * looked up by their hash. PostgreSQL 14 does not for `<> all`, and makes that out of `not (… = any(…))`.
 */
const notBlocked = (alias: string, n: number): string =>
  `(${alias}.ordering_key is null or cardinality($${String(n)}::text[]) = 0 or (${order(alias)} = any($${String(n)}::text[])) is not true)`

/** `$n::text[]` holds the topics that stand still; an empty list is folded away as well. */
const notSuspended = (alias: string, n: number): string =>
  `(cardinality($${String(n)}::text[]) = 0 or ${alias}.topic <> all($${String(n)}::text[]))`

/** `$1` relay, `$2` lanes, `$3` fences. Nobody can take the lanes while we hold the key share lock on our own relay row:
 * a reaper must delete that row, and a heartbeat does not conflict with it. */
const fenced = (s: string): string => `
  alive as materialized (select id from ${s}.relays where id = $1::uuid for key share),
  fenced as materialized (
    select lanes.lane
    from ${s}.lanes
    join unnest($2::smallint[], $3::bigint[]) as mine (lane, fence) on mine.lane = lanes.lane and mine.fence = lanes.fence
    join alive on alive.id = lanes.owner)`

/** Operators and plain SQL may have left any number: one more than the largest is no integer. */
export const attemptsPaid = (paid: string): string => `least(m.attempts, 2147483646) + ${paid}`

/** A failure's entry appended, the last ten kept; whatever else stood there is no list of failures. `more` adds to the entry: `, 'name', value`. */
export const failures = (more = ''): string => `
  (case when jsonb_typeof(m.failures) = 'array'
    then case when jsonb_array_length(m.failures) >= 10 then m.failures - 0 else m.failures end
    else '[]' end)
  || jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'code', f.code, 'message', f.message${more}))`

/**
 * Losing one of the relay's own commits in a server crash only repeats a message, so by default it does not wait for the
 * disk. Inside the statement and local to it: a session setting would leak to other clients through a pooler.
 */
export const commitMode = (durable: boolean): string =>
  durable ? `select 'durable'` : `select set_config('synchronous_commit', 'off', true)`

export function relayStatements(schema: string, durableSettles: boolean): RelayStatements {
  const s = quoteIdentifier(schema)
  return {
    messagesTable: `${s}.messages`,
    check: checkStatement(s),
    ...readStatements(s, durableSettles),
    ...settleStatements(s, durableSettles),
  }
}

/** $1 text: the messages table. A value of the sequence that is cached by a session could appear below the floor. */
function checkStatement(s: string): string {
  return `
    select pg_get_serial_sequence($1::text, 'seq') as sequence,
      (select seqcache::integer from pg_sequence where seqrelid = pg_get_serial_sequence($1::text, 'seq')::regclass) as cache,
      pg_sequence_last_value(pg_get_serial_sequence($1::text, 'seq')::regclass)::float8 as last,
      (select attidentity = 'a' from pg_attribute where attrelid = $1::text::regclass and attname = 'seq') as always,
      (select count(*)::integer from ${s}.lanes) as lanes,
      (select count(*)::integer from ${s}.scheduled_messages where false) as tables`
}

function readStatements(
  s: string,
  durable: boolean,
): Pick<
  RelayStatements,
  'loadBlocks' | 'moveScheduled' | 'read' | 'readWaiting' | 'readSamples' | 'barrier' | 'findMissed'
> {
  return {
    // $1 smallint[] lanes, $2 seqs of waiting messages that were read. Which orders of them must not be read, from where to read
    // them again afterwards, and the first that waits unread. Served by messages_waiting: on a table that was analyzed while
    // empty the planner takes "is not null" for nearly all rows, and a range for few.
    loadBlocks: `
      select m.lane, ${order('m')} as "order", min(m.seq)::float8 as seq,
        min(m.seq) filter (where (m.seq = any($2::bigint[])) is not true)::float8 as unread, false as held
      from ${s}.messages as m
      where m.available_at between '-infinity' and 'infinity' and m.ordering_key is not null and m.lane = any($1::smallint[])
      group by 1, 2
      union all
      select held.lane, ${order('held')}, coalesce(letter.seq, 0)::float8, null, true
      from ${s}.held_keys as held
      left join ${s}.dead_letters as letter on letter.dead_letter_id = held.dead_letter_id
      where held.lane = any($1::smallint[])`,

    // $1 integer limit, $2 text channel. One mover at a time, or two would interleave one key. A relay runs it between two
    // reads on the reading connection: it draws seq values and its own lock is not counted by its own floor.
    moveScheduled: `
      with mode as materialized (${commitMode(durable)}),
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
      select count(*)::integer as moved, case when count(*) > 0 then pg_notify($2, '') end from added`,

    // $1 lanes, $2 floors, $3 limits, $4 byte limits, $5 known seqs, $6 blocked orders, $7 the most bytes of a body, or of headers, that are ever read,
    // $8 suspended topics, $9 most attempts. One statement, one snapshot, per lane the lowest unseen rows; the first that exceeds the lane's bytes
    // ends it and comes without its body, and so does what is too large: whatever is returned, nothing unseen of that lane lies
    // below it, but what is blocked or suspended. The primary key serves it, in
    // its order and only as far as the limit: the "case" hides from the planner what it would misjudge. On a table that was
    // analyzed while empty it takes "is null" for rare, and then rather sorts the whole lane for each read.
    read: `
      select ${withinBudget(`${largest('o')} <= $7::float8 and o.before + ${size('o')} <= o.bytes and ${notSpent(9)}`)}
      from unnest($1::smallint[], $2::bigint[], $3::integer[], $4::bigint[]) as l (lane, floor, lim, bytes)
      cross join lateral (
        select sized.*, l.bytes, ${bytesBefore(7, 'sized.seq')} as before
        from (
          select ${columns}, ${bodySize} as body_size
          from ${s}.messages as m
          where m.lane = l.lane and m.seq > l.floor
            and case when m.available_at is null and m.seq <> all($5::bigint[]) and ${notBlocked('m', 6)} and ${notSuspended('m', 8)}
              then true end
          order by m.seq
          limit l.lim) as sized) as o
      where o.before <= l.bytes`,

    // $1 lanes, $2 closed orders, $3 known seqs, $4 limit, $5 byte limit, $6 the most bytes of a body, or of headers, that are ever read, $7 whether the
    // first may exceed the byte limit, $8 suspended topics, $9 most attempts. Bodies as in `read`. Failed and replayed messages that are due: of
    // the orders that have most reason to go now as many as their share of the limit, and of each those that wait first, up to one
    // that is not due. So whatever is returned, nothing of its order waits below it unread. Served by messages_waiting, and for
    // each order by messages_waiting_in_order; the "limit 1" leaves the planner no join that reads the table.
    readWaiting: `
      with due as materialized (
        select m.lane, m.seq, m.topic, m.ordering_key, m.available_at
        from ${s}.messages as m
        where m.available_at <= now() and m.lane = any($1::smallint[])
          and ${notBlocked('m', 2)} and ${notSuspended('m', 8)} and m.seq <> all($3::bigint[])
          and (m.ordering_key is null or (
            select first.available_at <= now() from ${s}.messages as first where ${waitsInOrderOf('first', 'm')}
            order by first.seq limit 1))
        order by m.available_at, m.seq
        limit $4),
      turns as materialized (
        select due.topic, due.ordering_key, min(due.available_at) as since, count(*) as share
        from due where due.ordering_key is not null group by due.topic, due.ordering_key),
      found as materialized (
        select due.lane, due.seq, due.available_at as since from due where due.ordering_key is null
        union all
        select run.lane, run.seq, turns.since
        from turns cross join lateral (
          select next.lane, next.seq, bool_and(next.available_at <= now()) over (order by next.seq) as is_due
          from (
            select m.lane, m.seq, m.available_at from ${s}.messages as m where ${waitsInOrderOf('m', 'turns')}
            order by m.seq limit turns.share) as next) as run
        where run.is_due)
      select ${withinBudget(`${largest('o')} <= $6::float8 and (o.before + ${size('o')} <= $5::float8 or o.before = 0 and $7::boolean) and ${notSpent(9)}`)},
        (select count(*)::integer from due) as due
      from (
        select sized.*, ${bytesBefore(6, 'sized.since, sized.seq')} as before
        from (
          select one.*, found.since
          from found cross join lateral (
            select ${columns}, ${bodySize} as body_size from ${s}.messages as m
            where m.lane = found.lane and m.seq = found.seq limit 1) as one) as sized) as o
      where o.before <= $5::float8
      order by o.since, o.seq`,

    // $1 lanes, $2 topics, $3 known seqs, $4 blocked orders, $5 closed orders, $6 limit, $7 the most bytes of a body, or of headers, that are ever read, $8 most attempts. The
    // first message of the topics in each lane, ready or due, of which a few at random are taken: one may be refused for reasons
    // of its own. Whatever stands first in its lane stands first in its order. Reads from the bottom of the lane, without a
    // floor: a message below it may have been committed late.
    readSamples: `
      select ${withinBudget(`${largest('o')} <= $7::float8 and ${notSpent(8)}`)}, o.waited from (
        select first.* from unnest($1::smallint[]) as l (lane)
        cross join lateral (
          select ${columns}, ${bodySize} as body_size, false as waited
          from ${s}.messages as m
          where m.lane = l.lane
            and case when m.available_at is null and m.topic = any($2::text[]) and m.seq <> all($3::bigint[])
              and ${notBlocked('m', 4)} then true end
          order by m.seq
          limit 1) as first
        union all
        (select ${columns}, ${bodySize} as body_size, true as waited
        from ${s}.messages as m
        where m.available_at <= now() and m.lane = any($1::smallint[]) and m.topic = any($2::text[])
          and ${notBlocked('m', 5)} and m.seq <> all($3::bigint[])
          and (m.ordering_key is null or m.seq = (
            select first.seq from ${s}.messages as first where ${waitsInOrderOf('first', 'm')}
            order by first.seq limit 1))
        limit $6)) as o
      order by random() limit $6`,

    // $1 integer[]: the relay's own backends, whose deletes take the same lock. A prepared transaction has no pid and
    // counts. Nothing here needs a privilege.
    barrier: (sequence) => `
      select (select case when is_called then last_value else last_value - 1 end from ${sequence})::float8 as drawn,
        array(
          select distinct virtualtransaction from pg_locks
          where locktype = 'relation' and relation = '${s.replaceAll("'", "''")}.messages'::regclass
            and database = (select oid from pg_database where datname = current_database())
            and mode = 'RowExclusiveLock' and (pid = any($1::integer[])) is not true) as holders`,

    // $1 lanes, $2 floors, $3 known seqs, $4 blocked orders, $5 suspended topics. The net under the floor: must always find nothing.
    findMissed: `
      select l.lane, min(missed.seq)::float8 as seq, count(*)::integer as messages
      from unnest($1::smallint[], $2::bigint[]) as l (lane, floor)
      cross join lateral (
        select m.seq from ${s}.messages as m
        where m.lane = l.lane and m.seq <= l.floor and m.available_at is null
          and m.seq <> all($3::bigint[]) and ${notBlocked('m', 4)} and ${notSuspended('m', 5)}
        limit 1000) as missed
      group by l.lane`,
  }
}

/** `$1` lanes, `$2` seqs, `$3` ids; beside a `mode`. */
const deleteNamed = (s: string): string => `delete from ${s}.messages as m
      using mode
      where m.ctid = any(array(
        select found.ctid
        from unnest($1::smallint[], $2::bigint[], $3::uuid[]) as u (lane, seq, id)
        cross join lateral (
          select p.ctid from ${s}.messages as p where p.lane = u.lane and p.seq = u.seq and p.id = u.id limit 1) as found))`

function settleStatements(
  s: string,
  durable: boolean,
): Pick<RelayStatements, 'deletePublished' | 'archivePublished' | 'scheduleRetries' | 'buryDead' | 'markTrial'> {
  return {
    // $1 lanes, $2 seqs, $3 ids. No fence: it only ever follows the broker's acknowledgement. The id guards against a
    // sequence that went back in a failover. Finds the rows one by one in the primary key: joined directly, the planner
    // prefers to scan the whole table, and every batch pays for the backlog behind it.
    deletePublished: `
      with mode as materialized (${commitMode(durable)})
      ${deleteNamed(s)}`,

    // As deletePublished, and keeps what it deletes: one statement, so that no message is in both tables or in neither. Takes no
    // lock but on the day's partition and on the one for days without.
    archivePublished: `
      with mode as materialized (${commitMode(durable)}),
      gone as (
        ${deleteNamed(s)}
        returning m.*),
      kept as (
        insert into ${s}.archived_messages (published_at, seq, id, topic, type, ordering_key, payload, payload_binary,
          content_type, headers, created_at, attempts, failures)
        select now(), seq, id, topic, type, ordering_key, payload, payload_binary, content_type, headers, created_at, attempts,
          failures
        from gone)
      select count(*)::integer as done from gone`,

    // Fenced ($1 to $3); $4 lanes, $5 seqs, $6 ids, $7 delays in ms, $8 codes, $9 messages.
    scheduleRetries: `
      with mode as materialized (${commitMode(durable)}), ${fenced(s)},
      changed as (
        update ${s}.messages as m
        set available_at = clock_timestamp() + f.delay_ms * interval '1 millisecond', attempts = ${attemptsPaid('1')},
          failures = ${failures()}
        from unnest($4::smallint[], $5::bigint[], $6::uuid[], $7::float8[], $8::text[], $9::text[])
            as f (lane, seq, id, delay_ms, code, message)
          join fenced on fenced.lane = f.lane
        where m.lane = f.lane and m.seq = f.seq and m.id = f.id)
      select count(*)::integer as fenced from fenced, mode`,

    // Fenced ($1 to $3); $4 lanes, $5 seqs, $6 ids, $7 reasons, $8 codes, $9 messages, $10 whether the key is held. Poison paid
    // its last attempt when it killed.
    buryDead: `
      with mode as materialized (${commitMode(durable)}), ${fenced(s)},
      dead as (
        delete from ${s}.messages as m
        using unnest($4::smallint[], $5::bigint[], $6::uuid[], $7::text[], $8::text[], $9::text[], $10::boolean[])
            as f (lane, seq, id, reason, code, message, hold)
          join fenced on fenced.lane = f.lane
        where m.lane = f.lane and m.seq = f.seq and m.id = f.id
        returning m.id, m.seq, m.lane, m.topic, m.type, m.ordering_key, m.payload, m.payload_binary, m.content_type, m.headers,
          m.created_at, ${attemptsPaid(`(f.reason <> 'POISON')::integer`)} as attempts,
          case when f.reason = 'POISON' then m.failures else ${failures()} end as failures, f.reason, f.hold),
      buried as (
        insert into ${s}.dead_letters (id, seq, lane, topic, type, ordering_key, payload, payload_binary, content_type, headers,
          created_at, attempts, failures, reason)
        select id, seq, lane, topic, type, ordering_key, payload, payload_binary, content_type, headers,
          created_at, attempts, failures, reason from dead
        returning dead_letter_id, lane, seq),
      held as (
        insert into ${s}.held_keys (topic, ordering_key, dead_letter_id)
        select dead.topic, dead.ordering_key, buried.dead_letter_id
        from dead join buried using (lane, seq)
        where dead.hold and dead.ordering_key is not null
        on conflict do nothing)
      select count(*)::integer as fenced from fenced, mode`,

    // $1 relay, $2 lanes, $3 seqs, $4 ids; nulls when the trial is over. No row: the lease had run out.
    markTrial: `
      with mode as materialized (${commitMode(durable)})
      update ${s}.relays as r set trial_lanes = $2::smallint[], trial_seqs = $3::bigint[], trial_ids = $4::uuid[]
      from mode where r.id = $1::uuid and r.lease_until > clock_timestamp()
      returning r.id`,
  }
}
