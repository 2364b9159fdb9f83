import type { Connection } from './connections.ts'
import { notBlocked, notKnown, notSuspended, stream } from './fragments.ts'
import { quoteIdentifier } from './identifiers.ts'
import { createKeptPlans } from './kept-plan.ts'
import { bytesBefore, measured, priced, withinBudget } from './message-columns.ts'

/** A message as a relay reads it. A bigint comes as text. */
export interface MessageRow {
  readonly seq: string
  readonly lane: number
  readonly id: string
  readonly topic: string
  readonly type: string
  readonly ordering_key: string | null
  readonly content_type: string
  readonly created_s: number
  readonly attempts: number
  /** Size of the group with which a relay died that was publishing it last. */
  readonly died_among: number | null
  /** Bytes of body and headers together, and of the larger of the two. */
  readonly size: number
  readonly largest: number
  readonly headers: string | null
  /** Both null: what is in the message was left in the table. */
  readonly payload: string | null
  readonly payload_binary: Uint8Array | null
}

/** What a read of waiting messages found. */
export interface Waiting {
  readonly rows: readonly MessageRow[]
  /** How many are due: as many as the limit when there may be more. */
  readonly due: number
  /** Streams of which something is due, and not the first that waits. */
  readonly resting: readonly string[]
}

/** Always at least one, without a message when there is none. */
interface WaitingRow extends Omit<MessageRow, 'seq'> {
  readonly seq: MessageRow['seq'] | null
  readonly due: number
  /** With the first message. */
  readonly resting: readonly string[] | null
}

/** A message to try a destination with. */
export interface SampleRow extends MessageRow {
  /** It failed or was replayed before. */
  readonly waited: boolean
}

/** What of a lane is read. */
export interface LaneShare {
  readonly lane: number
  /** Reads what lies above. */
  readonly floor: number
  /** Most rows. */
  readonly limit: number
  /** Most bytes. */
  readonly bytes: number
}

export interface ReadyQuery {
  readonly shares: readonly LaneShare[]
  /** Seqs that are left out, as an array literal. */
  readonly known: string
  /** As an array literal. */
  readonly blockedStreams: string
  readonly suspendedTopics: readonly string[]
  /** Messages in memory. */
  readonly knownCount: number
}

export interface WaitingQuery {
  readonly lanes: readonly number[]
  readonly known: string
  /** As an array literal. */
  readonly closedStreams: string
  readonly suspendedTopics: readonly string[]
  readonly limit: number
  readonly maxBytes: number
  /** The first row may exceed `maxBytes`. */
  readonly isFirstAnySize: boolean
}

export interface SamplesQuery {
  readonly lanes: readonly number[]
  readonly topics: readonly string[]
  readonly known: string
  readonly knownCount: number
  /** As an array literal. */
  readonly blockedStreams: string
  /** As an array literal. */
  readonly closedStreams: string
  readonly limit: number
}

export interface MessageReadsOptions {
  readonly schema: string
  /** The connection is a session: statements may be planned once. */
  readonly isSession: boolean
  /** Bodies and headers above it are left in the table. */
  readonly maxPayloadBytes: number
  /** So is what ended so many relays, each time alone. */
  readonly maxAttempts: number
}

/** The reads that bring messages. None of them takes a lock on a row. */
export interface MessageReads {
  /** For each lane the lowest ready rows that are not known. */
  ready(query: ReadyQuery): Promise<readonly MessageRow[]>
  /** Failed and replayed messages that are due, of each stream in sequence. */
  waiting(query: WaitingQuery): Promise<Waiting>
  /** A few messages of suspended topics, the first of their streams. */
  samples(query: SamplesQuery): Promise<readonly SampleRow[]>
}

export function createMessageReads(connection: Connection, options: MessageReadsOptions): MessageReads {
  const { schema, isSession, maxPayloadBytes, maxAttempts } = options
  const texts = messageReadTexts(schema)
  const readByKeptPlan = createKeptPlans(connection, isSession)
  return {
    ready: ({ shares, known, knownCount, blockedStreams, suspendedTopics }) => {
      const columns = [
        arrayOf(shares, 'lane'),
        arrayOf(shares, 'floor'),
        arrayOf(shares, 'limit'),
        arrayOf(shares, 'bytes'),
      ]
      const values = [...columns, known, blockedStreams, maxPayloadBytes, suspendedTopics, maxAttempts]
      const left = { knownCount, streams: [blockedStreams], topics: suspendedTopics }
      return readByKeptPlan({ name: 'malote read', text: texts.ready, values, ...left })
    },
    waiting: async ({ lanes, known, closedStreams, suspendedTopics, limit, maxBytes, isFirstAnySize }) => {
      const values = [
        lanes,
        closedStreams,
        known,
        limit,
        maxBytes,
        maxPayloadBytes,
        isFirstAnySize,
        suspendedTopics,
        maxAttempts,
      ]
      const { rows } = await connection.query<WaitingRow>(texts.waiting, values)
      const [first] = rows
      const found = rows.filter((row): row is MessageRow & WaitingRow => row.seq !== null)
      return { rows: found, due: first?.due ?? 0, resting: first?.resting ?? [] }
    },
    samples: ({ lanes, topics, known, knownCount, blockedStreams, closedStreams, limit }) => {
      const values = [lanes, topics, known, blockedStreams, closedStreams, limit, maxPayloadBytes, maxAttempts]
      const left = { knownCount, streams: [blockedStreams, closedStreams] }
      return readByKeptPlan({ name: 'malote samples', text: texts.samples, values, ...left })
    },
  }
}

/** As an array literal: cheaper than having the driver escape each element. */
function arrayOf(shares: readonly LaneShare[], column: keyof LaneShare): string {
  return `{${shares.map((share) => share[column]).join(',')}}`
}

/** What messages_waiting_in_order is made of: finds what waits of the stream of `of`, in its sequence. */
const waitsInStreamOf = (alias: string, of: string): string =>
  `${alias}.available_at is not null and ${alias}.ordering_key is not null
            and hashtextextended(${stream(alias)}, 0) = hashtextextended(${stream(of)}, 0)
            and ${alias}.topic = ${of}.topic and ${alias}.ordering_key = ${of}.ordering_key`

/** The statements' texts, for whoever looks at their plans. */
export function messageReadTexts(schema: string): Readonly<Record<keyof MessageReads, string>> {
  const s = quoteIdentifier(schema)
  return {
    // $1 lanes, $2 floors, $3 limits, $4 byte limits, $5 known seqs, $6 blocked streams, $7 the most bytes of a body, or of headers, that are ever read,
    // $8 suspended topics, $9 most attempts. One statement, one snapshot, per lane the lowest unseen rows; the first that exceeds the lane's bytes
    // ends it and comes without its body, and so does what is too large: whatever is returned, nothing unseen of that lane lies
    // below it, but what is blocked or suspended. The primary key serves it, in
    // its order and only as far as the limit: the "case" hides from the planner what it would misjudge. On a table that was
    // analyzed while empty it takes "is null" for rare, and then rather sorts the whole lane for each read.
    ready: `
      select ${withinBudget('o.before + o.cost <= o.bytes')}
      from unnest($1::smallint[], $2::bigint[], $3::integer[], $4::bigint[]) as l (lane, floor, lim, bytes)
      cross join lateral (
        select priced.*, l.bytes, ${bytesBefore('seq')} as before
        from ${priced(
          `
          select ${measured}
          from ${s}.messages as m
          where m.lane = l.lane and m.seq > l.floor
            and case when m.available_at is null and m.seq <> all($5::bigint[]) and ${notBlocked('m', 6)} and ${notSuspended('m', 8)}
              then true end
          order by m.seq
          limit l.lim`,
          'seq',
          7,
          9,
        )} as priced) as o
      where o.before <= l.bytes`,

    // $1 lanes, $2 closed streams, $3 known seqs, $4 limit, $5 byte limit, $6 the most bytes of a body, or of headers, that are ever read, $7 whether the
    // first may exceed the byte limit, $8 suspended topics, $9 most attempts. Bodies as in `ready`. Failed and replayed messages that are due: of
    // the streams that have most reason to go now as many as their share of the limit, and of each those unknown ones that wait first,
    // up to one that is not due. So whatever is returned, nothing of its stream waits below it unread. Streams whose first is not due are
    // named as resting. Served by messages_waiting, and for each stream, once, by messages_waiting_in_order: entries of what was
    // deleted stand at its front. A row is found again by where it lies, which one snapshot shows the same all along; the "limit 1"
    // leaves the planner no join that reads the table. Always at least one row.
    waiting: `
      with due as materialized (
        select m.ctid as place, m.topic, m.ordering_key, m.available_at
        from ${s}.messages as m
        where m.available_at <= now() and m.lane = any($1::smallint[])
          and ${notBlocked('m', 2)} and ${notSuspended('m', 8)} and ${notKnown('m', 3)}
        order by m.available_at
        limit $4),
      turns as materialized (
        select row_number() over () as n, due.topic, due.ordering_key, min(due.available_at) as since, count(*) as share
        from due where due.ordering_key is not null group by due.topic, due.ordering_key),
      runs as materialized (
        select next.*, row_number() over in_turn = 1 as is_first, bool_and(next.available_at <= now()) over in_turn as is_due
        from (
          select turns.n, turns.topic, turns.ordering_key, turns.since, one.place, one.seq, one.available_at
          from turns cross join lateral (
            select m.ctid as place, m.seq, m.available_at from ${s}.messages as m
            where ${waitsInStreamOf('m', 'turns')} and ${notKnown('m', 3)}
            order by m.seq limit turns.share) as one) as next
        window in_turn as (partition by next.n order by next.seq)),
      found as materialized (
        select due.place, due.available_at as since from due where due.ordering_key is null
        union all
        select runs.place, runs.since from runs where runs.is_due)
      select o.*, (select count(*)::integer from due) as due,
        case when coalesce(o.before, 0) = 0
          then array(select ${stream('runs')} from runs where runs.is_first and not runs.is_due) end as resting
      from (select) as always left join (
        select ${withinBudget('(o.before + o.cost <= $5::float8 or o.cost is not null and o.before = 0 and $7::boolean)')},
          o.before, o.since
        from (
          select priced.*, ${bytesBefore('since, seq')} as before
          from ${priced(
            `
            select one.*, found.since
            from found cross join lateral (
              select ${measured} from ${s}.messages as m where m.ctid = found.place limit 1) as one`,
            'since, seq',
            6,
            9,
          )} as priced) as o
        where o.before <= $5::float8) as o on true
      order by o.since, o.seq`,

    // $1 lanes, $2 topics, $3 known seqs, $4 blocked streams, $5 closed streams, $6 limit, $7 the most bytes of a body, or of headers, that are ever read, $8 most attempts. The
    // first message of the topics in each lane, ready or due, of which a few at random are taken: one may be refused for reasons
    // of its own. Whatever stands first in its lane stands first in its stream. Reads from the bottom of the lane, without a
    // floor: a message below it may have been committed late.
    samples: `
      select ${withinBudget('o.cost is not null')}, o.waited from ${priced(
        `
        select first.* from unnest($1::smallint[]) as l (lane)
        cross join lateral (
          select ${measured}, false as waited
          from ${s}.messages as m
          where m.lane = l.lane
            and case when m.available_at is null and m.topic = any($2::text[]) and m.seq <> all($3::bigint[])
              and ${notBlocked('m', 4)} then true end
          order by m.seq
          limit 1) as first
        union all
        (select ${measured}, true as waited
        from ${s}.messages as m
        where m.available_at <= now() and m.lane = any($1::smallint[]) and m.topic = any($2::text[])
          and ${notBlocked('m', 5)} and m.seq <> all($3::bigint[])
          and (m.ordering_key is null or m.seq = (
            select first.seq from ${s}.messages as first where ${waitsInStreamOf('first', 'm')}
            order by first.seq limit 1))
        limit $6)`,
        'seq',
        7,
        8,
      )} as o
      order by random() limit $6`,
  }
}
