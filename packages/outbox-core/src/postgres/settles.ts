import type { Connection } from './connections.ts'
import { attemptsPaid, commitMode, failures } from './fragments.ts'
import { quoteIdentifier } from './identifiers.ts'

/** What names a message in the table. */
export interface MessageName {
  readonly lane: number
  readonly seq: number
  readonly message: { readonly id: string }
}

/** A lane as its owner knows it: another owner has another fence. */
export interface FencedLane {
  readonly lane: number
  readonly fence: number
}

export interface RetryWrite extends MessageName {
  readonly delayMs: number
  readonly code: string
  readonly words: string
}

export interface BurialWrite extends MessageName {
  readonly reason: string
  readonly code: string
  readonly words: string
  readonly isKeyHeld: boolean
}

/** The writes that end messages. Those that are given lanes change nothing in one of another owner, and say how many are still ours. */
export interface Settles {
  /** @returns how many were still there */
  deletePublished(messages: readonly MessageName[]): Promise<number>
  /** As `deletePublished`, and keeps them. */
  archivePublished(messages: readonly MessageName[]): Promise<number>
  scheduleRetries(lanes: readonly FencedLane[], retries: readonly RetryWrite[]): Promise<number>
  buryDead(lanes: readonly FencedLane[], burials: readonly BurialWrite[]): Promise<number>
  /** Names what is published with nothing beside it; null: nothing any more. @returns false when the lease had run out */
  markTrial(messages: readonly MessageName[] | null): Promise<boolean>
}

export interface SettlesOptions {
  readonly schema: string
  readonly relayId: string
  /** Whether each waits for the disk. */
  readonly isDurable: boolean
}

export function createSettles(connection: Connection, { schema, relayId, isDurable }: SettlesOptions): Settles {
  const texts = settleTexts(schema, isDurable)
  const write = async (text: string, lanes: readonly FencedLane[], columns: readonly unknown[]): Promise<number> => {
    const values = [relayId, lanes.map(({ lane }) => lane), lanes.map(({ fence }) => fence), ...columns]
    return (await connection.queryReadCommitted<{ fenced: number }>(text, values)).rows[0]?.fenced ?? 0
  }
  return {
    deletePublished: async (messages) =>
      (await connection.query(texts.deletePublished, namesOf(messages))).rowCount ?? 0,
    archivePublished: async (messages) =>
      (await connection.query<{ done: number }>(texts.archivePublished, namesOf(messages))).rows[0]?.done ?? 0,
    scheduleRetries: (lanes, retries) =>
      write(texts.scheduleRetries, lanes, [
        ...namesOf(retries),
        retries.map(({ delayMs }) => delayMs),
        retries.map(({ code }) => storable(code, 100)),
        retries.map(({ words }) => storable(words, 1_000)),
      ]),
    buryDead: (lanes, burials) =>
      write(texts.buryDead, lanes, [
        ...namesOf(burials),
        burials.map(({ reason }) => reason),
        burials.map(({ code }) => storable(code, 100)),
        burials.map(({ words }) => storable(words, 1_000)),
        burials.map(({ isKeyHeld }) => isKeyHeld),
      ]),
    markTrial: async (messages) => {
      const names = messages === null ? [null, null, null] : namesOf(messages)
      return (await connection.queryReadCommitted(texts.markTrial, [relayId, ...names])).rows.length === 1
    },
  }
}

/** Lanes, seqs and ids as array literals: cheaper than having the driver escape each element. */
function namesOf(messages: readonly MessageName[]): string[] {
  return [
    `{${messages.map(({ lane }) => lane).join(',')}}`,
    `{${messages.map(({ seq }) => seq).join(',')}}`,
    `{${messages.map(({ message }) => message.id).join(',')}}`,
  ]
}

/** Text that PostgreSQL accepts, of bounded length: the words come from a broker. */
function storable(text: string, maxLength: number): string {
  return text.replaceAll('\0', '').slice(0, maxLength).toWellFormed()
}

/** `$1` relay, `$2` lanes, `$3` fences. Nobody can take the lanes while we hold the key share lock on our own relay row:
 * a reaper must delete that row, and a heartbeat does not conflict with it. */
const fenced = (s: string): string => `
  alive as materialized (select id from ${s}.relays where id = $1::uuid for key share),
  fenced as materialized (
    select lanes.lane
    from ${s}.lanes
    join unnest($2::smallint[], $3::bigint[]) as mine (lane, fence) on mine.lane = lanes.lane and mine.fence = lanes.fence
    join alive on alive.id = lanes.owner)`

/** `$1` lanes, `$2` seqs, `$3` ids; beside a `mode`. */
const deleteNamed = (s: string): string => `delete from ${s}.messages as m
      using mode
      where m.ctid = any(array(
        select found.ctid
        from unnest($1::smallint[], $2::bigint[], $3::uuid[]) as u (lane, seq, id)
        cross join lateral (
          select p.ctid from ${s}.messages as p where p.lane = u.lane and p.seq = u.seq and p.id = u.id limit 1) as found))`

/** The statements' texts, for whoever looks at their plans. */
export function settleTexts(schema: string, isDurable: boolean): Readonly<Record<keyof Settles, string>> {
  const s = quoteIdentifier(schema)
  return {
    // $1 lanes, $2 seqs, $3 ids. No fence: it only ever follows the broker's acknowledgement. The id guards against a
    // sequence that went back in a failover. Finds the rows one by one in the primary key: joined directly, the planner
    // prefers to scan the whole table, and every batch pays for the backlog behind it.
    deletePublished: `
      with mode as materialized (${commitMode(isDurable)})
      ${deleteNamed(s)}`,

    // As deletePublished, and keeps what it deletes: one statement, so that no message is in both tables or in neither. Takes no
    // lock but on the day's partition and on the one for days without.
    archivePublished: `
      with mode as materialized (${commitMode(isDurable)}),
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
      with mode as materialized (${commitMode(isDurable)}), ${fenced(s)},
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
      with mode as materialized (${commitMode(isDurable)}), ${fenced(s)},
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
      with mode as materialized (${commitMode(isDurable)})
      update ${s}.relays as r set trial_lanes = $2::smallint[], trial_seqs = $3::bigint[], trial_ids = $4::uuid[]
      from mode where r.id = $1::uuid and r.lease_until > clock_timestamp()
      returning r.id`,
  }
}
