import type { Connection } from './connections.ts'
import { attemptsPaid, failures, relayDied } from './fragments.ts'
import { quoteIdentifier } from './identifiers.ts'
import type { FencedLane } from './settles.ts'

/** First half of the advisory lock that says "this relay's session lives"; the second half is `presence_key`. */
const presenceClass = 1_835_101_295

/** Somebody holds the presence lock of `r`. */
export const isPresent: string = `exists (
  select from pg_locks as k
  where k.locktype = 'advisory' and k.classid = ${String(presenceClass)} and k.objid = r.presence_key::oid and k.objsubid = 2
    and k.database = (select oid from pg_database where datname = current_database()))`

/** Held keys that are read at each look. */
export const fewHeld = 200

/** Dead: the lease ran out, or the session that held its presence lock is gone. */
export const isDead: string = `(r.lease_until < clock_timestamp() or r.presence_key is not null and not ${isPresent})`

/** Null for what is never due. Before PostgreSQL 17 nothing can be subtracted from infinity. */
const msUntil = (instant: string): string => `case when isfinite(${instant})
  then extract(epoch from ${instant} - clock_timestamp())::float8 * 1000 when ${instant} < clock_timestamp() then 0 end`

export interface LookRow {
  readonly live: number
  readonly dead: number
  readonly free: number
  readonly lanes: number
  readonly waiting_ms: number | null
  readonly scheduled_ms: number | null
  readonly held: number
  readonly held_version: string | null
  readonly paused: readonly string[]
}

/** What operators are told of an outage that lasts. */
export interface NotedOutage {
  /** Empty: the broker as a whole. */
  readonly destination: string
  readonly topics: readonly string[]
  readonly ageMs: number
  readonly code: string
  readonly message: string
}

export interface AcquiredRow {
  readonly lane: number
  readonly fence: number
  readonly crashes: number
  /** After a crash: the highest seq in the lane, as text. */
  readonly backlog_end: number | null
}

/** The statements by which a relay shares the lanes with others. */
export interface MembershipWrites {
  /** @returns false when another session has the key */
  takePresence(key: number): Promise<boolean>
  join(relay: { readonly name: string; readonly leaseMs: number; readonly presenceKey: number | null }): Promise<void>
  /** @returns false when the lease had run out */
  renew(leaseMs: number): Promise<boolean>
  restoreLanes(): Promise<void>
  /** All there are now. */
  noteOutages(outages: readonly NotedOutage[]): Promise<void>
  /** @returns how many dead relays were taken off the list */
  reap(): Promise<number>
  acquire(count: number): Promise<readonly AcquiredRow[]>
  release(lanes: readonly FencedLane[]): Promise<void>
  calm(lanes: readonly FencedLane[]): Promise<void>
  /** Frees the lanes of this relay, or of another identity of this process. */
  leave(id?: string): Promise<void>
}

export interface MembershipQueries extends MembershipWrites {
  /** Everything that may have to be done, in one look that changes nothing. */
  look(ownLanes: readonly number[], ofAllHeld: boolean): Promise<LookRow>
}

export function createMembershipQueries(
  connection: Connection,
  { schema, relayId }: { readonly schema: string; readonly relayId: string },
): MembershipQueries {
  const texts = membershipTexts(schema)
  const write = async (text: string, ...values: unknown[]): Promise<number> =>
    (await connection.queryReadCommitted(text, [relayId, ...values])).rows.length
  const columns = (lanes: readonly FencedLane[]): unknown[] => [
    lanes.map(({ lane }) => lane),
    lanes.map(({ fence }) => fence),
  ]
  return {
    takePresence: async (key) =>
      (await connection.query<{ taken: boolean }>(texts.takePresence, [key])).rows[0]?.taken === true,
    join: async ({ name, leaseMs, presenceKey }) =>
      void (await connection.query(texts.join, [relayId, name, leaseMs, presenceKey])),
    renew: async (leaseMs) => (await write(texts.renew, leaseMs)) === 1,
    look: async (ownLanes, ofAllHeld) =>
      (await connection.query<LookRow>(texts.look, [relayId, ownLanes, fewHeld + 1, ofAllHeld])).rows[0] as LookRow,
    restoreLanes: async () => void (await connection.query(texts.restoreLanes, [])),
    noteOutages: async (outages) => {
      const given = outages.map(({ ageMs, ...outage }) => ({ ...outage, age_ms: ageMs }))
      await write(texts.noteOutages, JSON.stringify(given))
    },
    reap: () => write(texts.reap),
    acquire: async (count) => (await connection.queryReadCommitted<AcquiredRow>(texts.acquire, [relayId, count])).rows,
    release: async (lanes) => void (await write(texts.release, ...columns(lanes), schema)),
    calm: async (lanes) => void (await write(texts.calm, ...columns(lanes))),
    leave: async (id = relayId) => void (await connection.queryReadCommitted(texts.leave, [id, schema])),
  }
}

/** `$1` relay, `$2` lanes, `$3` fences: those of the lanes that are still the relay's, locked in lane order, as every statement does that locks several. */
const ownLanes = (s: string): string => `mine as materialized (
        select l.lane from ${s}.lanes as l
        join unnest($2::smallint[], $3::bigint[]) as u (lane, fence) on u.lane = l.lane and u.fence = l.fence
        where l.owner = $1::uuid
        order by l.lane
        for update of l)`

/** The statements' texts, for whoever looks at their plans. */
export function membershipTexts(schema: string): Readonly<Record<keyof MembershipWrites | 'look', string>> {
  const s = quoteIdentifier(schema)
  return {
    // $1 integer. Session lock: PostgreSQL itself lets it go when the process dies.
    takePresence: `select pg_try_advisory_lock(${String(presenceClass)}, $1::integer) as taken`,

    // $1 id, $2 name, $3 lease in ms, $4 presence key or null.
    join: `
      insert into ${s}.relays (id, name, lease_until, presence_key)
      values ($1::uuid, $2, clock_timestamp() + $3::float8 * interval '1 millisecond', $4::integer)`,

    // $1 id, $2 lease in ms. No row: it had run out, and the lanes may be somebody else's by now.
    renew: `
      update ${s}.relays set lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
      where id = $1::uuid and lease_until > clock_timestamp()
      returning id`,

    // $1 id, $2 own lanes, $3 the most held keys that are counted, $4 whether to look at all of them. Everything that may have to be
    // done, in one look that changes nothing.
    look: `
      select
        (select count(*)::integer from ${s}.relays as r where r.lease_until > clock_timestamp()) as live,
        (select count(*)::integer from ${s}.relays as r where r.id <> $1::uuid and ${isDead}) as dead,
        (select count(*)::integer from ${s}.lanes where owner is null) as free,
        (select count(*)::integer from ${s}.lanes) as lanes,
        (select ${msUntil('min(m.available_at)')} from ${s}.messages as m
          where m.available_at is not null and m.lane = any($2::smallint[])) as waiting_ms,
        (select ${msUntil('min(available_at)')} from ${s}.scheduled_messages) as scheduled_ms,
        (select count(*)::integer from (select from ${s}.held_keys limit $3) as few) as held,
        case when $4::boolean then (select concat(count(*), ' ', max(held_at)) from ${s}.held_keys) end as held_version,
        array(select topic from ${s}.paused_topics) as paused`,

    // $1 id, $2 JSON array of {destination, topics, age_ms, code, message}: all there are now.
    noteOutages: `
      with given as materialized (
        select g.*, array(select jsonb_array_elements_text(g.topics)) as topic_list
        from jsonb_to_recordset($2::text::jsonb)
          as g (destination text, topics jsonb, age_ms float8, code text, message text)),
      gone as (
        delete from ${s}.outages as o
        where o.relay = $1::uuid and o.destination not in (select destination from given)
          or not exists (select from ${s}.relays as r where r.id = o.relay))
      insert into ${s}.outages (relay, destination, topics, started_at, code, message)
      select r.id, destination, topic_list, clock_timestamp() - age_ms * interval '1 millisecond', code, message
      from given join ${s}.relays as r on r.id = $1::uuid
      on conflict (relay, destination) do update
      set topics = excluded.topics, code = excluded.code, message = excluded.message`,

    // Whoever truncates every table takes the lanes with them. The fences start again: who held one before is told apart by its
    // relay, whose row is gone too.
    restoreLanes: `insert into ${s}.lanes (lane) select generate_series(0, 63) on conflict do nothing`,

    // $1 id. The row lock and the recheck under it make renewing and taking over exclude each other; the foreign key frees
    // the lanes in the same transaction. What the dead one had named is remembered as having been in flight; a message that
    // was alone pays an attempt. A restart of the server takes everybody's session: that is no death.
    reap: `
      with dead as materialized (
        select r.id, r.trial_lanes, r.trial_seqs, r.trial_ids, r.started_at > pg_postmaster_start_time() as died
        from ${s}.relays as r where r.id <> $1::uuid and ${isDead} for update skip locked),
      left_behind as materialized (
        select l.lane, dead.died from ${s}.lanes as l join dead on dead.id = l.owner order by l.lane for update of l),
      counted as (
        update ${s}.lanes as l set crashes = least(l.crashes + 1, 1000)
        from left_behind where left_behind.died and l.lane = left_behind.lane),
      charged as (
        update ${s}.messages as m set attempts = ${attemptsPaid('(f.among = 1)::integer')}, failures = ${failures(", 'among', f.among")}
        from (
          select named.*, cardinality(dead.trial_ids) as among, '${relayDied}' as code,
            'the relay died while it published a named group with this message in it' as message
          from dead cross join lateral unnest(dead.trial_lanes, dead.trial_seqs, dead.trial_ids) as named (lane, seq, id)
          where dead.died
        ) as f
        where m.lane = f.lane and m.seq = f.seq and m.id = f.id)
      delete from ${s}.relays as r using dead where dead.id = r.id returning r.id`,

    // $1 id, $2 how many. Random, so that relays starting together do not all try the same rows. After a crash also the end
    // of what lies in the lane: somewhere up to there is what the former owner was publishing.
    acquire: `
      with free as materialized (
        select lane from ${s}.lanes
        where owner is null and exists (select from ${s}.relays where id = $1::uuid and lease_until > clock_timestamp())
        order by random() limit $2
        for update skip locked)
      update ${s}.lanes as l set owner = $1::uuid, fence = l.fence + 1
      from free where l.lane = free.lane
      returning l.lane, l.fence::float8 as fence, l.crashes,
        case when l.crashes > 0 then (select max(m.seq)::float8 from ${s}.messages as m where m.lane = l.lane) end as backlog_end`,

    // $1 id, $2 lanes, $3 fences, $4 channel.
    release: `
      with ${ownLanes(s)},
      released as (update ${s}.lanes as l set owner = null from mine where l.lane = mine.lane returning l.lane)
      select count(*)::integer as released, pg_notify($4, 'lanes') from released`,

    // $1 id, $2 lanes, $3 fences. What may have killed the former owners is through.
    calm: `
      with ${ownLanes(s)}
      update ${s}.lanes as l set crashes = 0 from mine where l.lane = mine.lane`,

    // $1 id, $2 channel. Frees the lanes by the foreign key.
    leave: `
      with gone as (delete from ${s}.relays where id = $1::uuid returning id)
      select count(*)::integer as gone, pg_notify($2, 'lanes') from gone`,
  }
}
