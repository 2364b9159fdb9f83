import type { Connection } from './connections.ts'
import { notBlocked, notSuspended, stream } from './fragments.ts'
import { quoteIdentifier } from './identifiers.ts'

/** A stream of which something waits: no ready message of it may be read. */
export interface WaitingStream {
  readonly stream: string
  /** Of what waits in the stream, whether it was read or not: from there it is read again afterwards. */
  readonly seq: number
  /** Of what waits in the stream and was not read; null when all of it was. */
  readonly unread: number | null
}

/** The streams of a lane of which no ready message may be read. */
export interface BlocksOfLane {
  readonly lane: number
  readonly waiting: readonly WaitingStream[]
  /** An operator holds them, by hand or by a dead letter that waits for a decision. As an array literal: there may be very many. */
  readonly held: { readonly names: string; readonly count: number }
}

/** The streams of a lane that wait, as JSON arrays of the same length, or those that are held: a row for each costs many times as much. */
interface BlocksRow {
  readonly lane: number
  readonly streams: string
  readonly seqs: string
  readonly unread: string
  readonly held: string | null
  readonly held_count: number
}

export interface BarrierRow {
  /** Highest seq value drawn so far. */
  readonly drawn: number
  /** Transactions that hold the writers' lock on `messages`: they may have drawn values and not committed them. */
  readonly holders: readonly string[]
}

export interface MissedRow {
  readonly lane: number
  readonly seq: number
  readonly messages: number
}

export interface MissedQuery {
  readonly lanes: readonly number[]
  readonly floors: readonly number[]
  readonly known: string
  /** As an array literal. */
  readonly blockedStreams: string
  readonly suspendedTopics: readonly string[]
}

export interface LaneReadsOptions {
  readonly schema: string
  /** Name of the sequence that the messages draw from. */
  readonly sequence: string
  readonly isSession: boolean
  /**
   * The relay's own backends, whose deletes take the writers' lock too. Behind a pooler a backend that was ours may run a writer's
   * transaction now: without a session nobody is left out.
   */
  readonly ownPids: readonly number[]
}

/** The reads that say from where, and past what, a lane may be read. */
export interface LaneReads {
  /** @param waited - seqs of waiting messages that were read, as an array literal */
  blocks(lanes: readonly number[], waited: string): Promise<readonly BlocksOfLane[]>
  /** Looks who may still commit an older message. */
  barrier(): Promise<BarrierRow>
  /** The net under the floor: must always find nothing. */
  missed(query: MissedQuery): Promise<readonly MissedRow[]>
}

export function createLaneReads(connection: Connection, options: LaneReadsOptions): LaneReads {
  const { schema, sequence, isSession, ownPids } = options
  const texts = laneReadTexts(schema, sequence)
  return {
    blocks: async (lanes, waited) => blocksOf((await connection.query<BlocksRow>(texts.blocks, [lanes, waited])).rows),
    barrier: async () => {
      const { rows } = isSession
        ? await connection.queryPrepared<BarrierRow>('malote barrier', texts.barrier, [ownPids])
        : await connection.query<BarrierRow>(texts.barrier, [[]])
      return rows[0] as BarrierRow
    },
    missed: async ({ lanes, floors, known, blockedStreams, suspendedTopics }) => {
      const values = [lanes, floors, known, blockedStreams, suspendedTopics]
      return (await connection.query<MissedRow>(texts.missed, values)).rows
    },
  }
}

function blocksOf(rows: readonly BlocksRow[]): readonly BlocksOfLane[] {
  const lanes = new Map<number, BlocksOfLane>()
  for (const row of rows) {
    const { lane, held, held_count: count } = row
    const of = lanes.get(lane) ?? { lane, waiting: [], held: { names: '{}', count: 0 } }
    lanes.set(lane, held === null ? { ...of, waiting: waitingOf(row) } : { ...of, held: { names: held, count } })
  }
  return [...lanes.values()]
}

function waitingOf({ streams, seqs, unread }: BlocksRow): readonly WaitingStream[] {
  const [seqOf, unreadOf] = [JSON.parse(seqs) as number[], JSON.parse(unread) as (number | null)[]]
  return (JSON.parse(streams) as string[]).map((stream, at) => ({
    stream,
    seq: seqOf[at] ?? 0,
    unread: unreadOf[at] ?? null,
  }))
}

/** The statements' texts, for whoever looks at their plans. */
export function laneReadTexts(schema: string, sequence = ''): Readonly<Record<keyof LaneReads, string>> {
  const s = quoteIdentifier(schema)
  return {
    // $1 smallint[] lanes, $2 seqs of waiting messages that were read. Which streams of them must not be read, from where to read
    // them again afterwards, and the first that waits unread. Served by messages_waiting: on a table that was analyzed while
    // empty the planner takes "is not null" for nearly all rows, and a range for few.
    blocks: `
      select waiting.lane, json_agg(waiting.stream) as streams, json_agg(waiting.seq) as seqs, json_agg(waiting.unread) as unread,
        null as held, 0 as held_count
      from (
        select m.lane, ${stream('m')} as stream, min(m.seq) as seq,
          min(m.seq) filter (where (m.seq = any($2::bigint[])) is not true) as unread
        from ${s}.messages as m
        where m.available_at between '-infinity' and 'infinity' and m.ordering_key is not null and m.lane = any($1::smallint[])
        group by 1, 2) as waiting
      group by waiting.lane
      union all
      select held.lane, null, null, null, array_agg(${stream('held')})::text, count(*)::integer
      from ${s}.held_keys as held
      where held.lane = any($1::smallint[])
      group by held.lane`,

    // $1 integer[]: the relay's own backends, whose deletes take the same lock. A prepared transaction has no pid and
    // counts. Nothing here needs a privilege.
    barrier: `
      select (select case when is_called then last_value else last_value - 1 end from ${sequence})::float8 as drawn,
        array(
          select distinct virtualtransaction from pg_locks
          where locktype = 'relation' and relation = '${s.replaceAll("'", "''")}.messages'::regclass
            and database = (select oid from pg_database where datname = current_database())
            and mode = 'RowExclusiveLock' and (pid = any($1::integer[])) is not true) as holders`,

    // $1 lanes, $2 floors, $3 known seqs, $4 blocked streams, $5 suspended topics.
    missed: `
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
