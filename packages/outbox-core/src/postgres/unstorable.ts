import type { Connection } from './connections.ts'
import { attemptsPaid, failures, relayDied } from './fragments.ts'
import { quoteIdentifier } from './identifiers.ts'
import { isDead } from './membership.ts'

/** Code of the failure that such a dead letter is given. */
export const unstorableCode = 'UNSTORABLE'

const letter = `id, seq, lane, topic, type, ordering_key, payload, payload_binary, content_type, headers, created_at, attempts, failures`

/** Rows of `gone` become dead letters, and their keys are held where `$n` says so. */
const bury = (s: string, reason: string, hold: number): string => `
  buried as (
    insert into ${s}.dead_letters (${letter}, reason) select ${letter}, '${reason}' from gone
    returning dead_letter_id, lane, seq, id, topic, attempts),
  held as (
    insert into ${s}.held_keys (topic, ordering_key, dead_letter_id)
    select gone.topic, gone.ordering_key, buried.dead_letter_id from gone join buried using (lane, seq)
    where $${String(hold)}::boolean and gone.ordering_key is not null
    on conflict do nothing
    returning dead_letter_id)
  select buried.id, buried.topic, buried.attempts, '${reason}' as reason, held.dead_letter_id is not null as held
  from buried left join held using (dead_letter_id)`

/** A message that became a dead letter. */
export interface BuriedRow {
  readonly id: string
  readonly topic: string
  readonly attempts: number
  readonly reason: 'PERMANENT' | 'POISON'
  readonly held: boolean
}

/** A message of a group that a dead relay was publishing. */
export interface NamedRow {
  readonly lane: number
  readonly seq: string
  readonly id: string
}

/**
 * For rows that PostgreSQL refuses to change, because they break a rule of the table that is younger than they are: each
 * change of a row has all rules checked anew, and only a delete has none. They become dead letters.
 */
export interface UnstorableQueries {
  /** Topic of the scheduled message that would be moved next. */
  firstDue(): Promise<string | undefined>
  buryFirstDue(burial: {
    readonly topic: string
    readonly isKeyHeld: boolean
    readonly words: string
  }): Promise<readonly BuriedRow[]>
  namedByDead(): Promise<readonly NamedRow[]>
  /** Changes nothing, and is refused where a change would be. */
  probe(message: NamedRow): Promise<void>
  buryNamed(burial: NamedRow & { readonly isKeyHeld: boolean; readonly words: string }): Promise<readonly BuriedRow[]>
}

export function createUnstorableQueries(connection: Connection, schema: string): UnstorableQueries {
  const texts = unstorableTexts(schema)
  return {
    firstDue: async () => (await connection.query<{ topic: string }>(texts.firstDue)).rows[0]?.topic,
    buryFirstDue: async ({ topic, isKeyHeld, words }) =>
      (await connection.query<BuriedRow>(texts.buryFirstDue, [schema, topic, isKeyHeld, words])).rows,
    namedByDead: async () => (await connection.query<NamedRow>(texts.namedByDead)).rows,
    probe: async ({ lane, seq, id }) => void (await connection.queryReadCommitted(texts.probe, [lane, seq, id])),
    buryNamed: async ({ lane, seq, id, isKeyHeld, words }) =>
      (await connection.queryReadCommitted<BuriedRow>(texts.buryNamed, [lane, seq, id, isKeyHeld, words])).rows,
  }
}

function unstorableTexts(schema: string): Readonly<Record<keyof UnstorableQueries, string>> {
  const s = quoteIdentifier(schema)
  return {
    // The scheduled message that would be moved next.
    firstDue: `
      select topic from ${s}.scheduled_messages where available_at <= now() order by available_at, position limit 1`,

    // $1 text channel, $2 topic that the first must be of, $3 whether its key is held, $4 words. Alone, as who moves them is. It
    // never had a place among the messages: below all of them, so that a replay puts it first.
    buryFirstDue: `
      with turn as materialized (select pg_try_advisory_xact_lock(hashtextextended('malote scheduled ' || $1, 0)) as mine),
      first as (
        select available_at, position, topic from ${s}.scheduled_messages
        where available_at <= now() and (select mine from turn)
        order by available_at, position limit 1
        for update skip locked),
      taken as (
        delete from ${s}.scheduled_messages as m using first
        where m.available_at = first.available_at and m.position = first.position and first.topic = $2
        returning m.*),
      gone as materialized (
        select m.id, -m.position as seq,
          (hashtextextended(coalesce(m.ordering_key, m.id::text) collate "C", 0) & 63)::smallint as lane,
          m.topic, m.type, m.ordering_key, m.payload, m.payload_binary, m.content_type, m.headers, m.created_at, 0 as attempts,
          jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'code', '${unstorableCode}', 'message', $4::text)) as failures
        from taken as m),
      ${bury(s, 'PERMANENT', 3)}`,

    // Messages that dead relays were publishing in a named group.
    namedByDead: `
      select named.lane, named.seq::text, named.id
      from ${s}.relays as r cross join lateral unnest(r.trial_lanes, r.trial_seqs, r.trial_ids) as named (lane, seq, id)
      where ${isDead} and r.started_at > pg_postmaster_start_time()`,

    // $1 lane, $2 seq, $3 id. Changes nothing, and is refused where a change would be.
    probe: `
      update ${s}.messages as m set attempts = m.attempts
      where m.lane = $1::smallint and m.seq = $2::bigint and m.id = $3::uuid`,

    // $1 lane, $2 seq, $3 id, $4 whether its key is held, $5 words. No fence: the lane is the dead relay's until it is reaped.
    buryNamed: `
      with taken as (
        delete from ${s}.messages as m where m.lane = $1::smallint and m.seq = $2::bigint and m.id = $3::uuid returning m.*),
      gone as materialized (
        select m.id, m.seq, m.lane, m.topic, m.type, m.ordering_key, m.payload, m.payload_binary, m.content_type, m.headers,
          m.created_at, ${attemptsPaid('1')} as attempts, ${failures()} as failures
        from taken as m, (select '${relayDied}' as code, $5::text as message) as f),
      ${bury(s, 'POISON', 4)}`,
  }
}
