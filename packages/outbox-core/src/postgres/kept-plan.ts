import type { Connection } from './connections.ts'

/** A plan that is kept compares each row with the known messages one by one. */
const maxKnown = 100

/** And with the suspended topics. */
const maxSuspended = 20

/** A read, and what decides whether a plan that was made once serves it. */
export interface PlannedRead {
  /** Under which the connection keeps the plan. */
  readonly name: string
  readonly text: string
  readonly values: readonly unknown[]
  readonly knownCount: number
  /** Streams that are left out, as array literals. */
  readonly streams: readonly string[]
  /** Topics that are left out. */
  readonly topics?: readonly string[]
}

/**
 * Runs reads with a plan that the connection makes once, where few messages are known and no stream is left out: planning takes
 * twice as long as reading a few messages. Any other read is planned anew, and so is each where the connection is no session.
 */
export function createKeptPlans(
  connection: Connection,
  isSession: boolean,
): <Row>(read: PlannedRead) => Promise<readonly Row[]> {
  const isKept = ({ knownCount, streams, topics = [] }: PlannedRead): boolean =>
    isSession && knownCount <= maxKnown && topics.length <= maxSuspended && streams.every((names) => names === '{}')
  return async <Row>(read: PlannedRead) => {
    const { name, text, values } = read
    const result = isKept(read)
      ? connection.queryPrepared<Row>(name, text, values)
      : connection.query<Row>(text, values)
    return (await result).rows
  }
}

/**
 * Run once on a reading connection that is a session. A plan that is kept may be made while the table is empty and used
 * when it is full: leaves only the index that is right for both. Compilation is off with it: before PostgreSQL 18, looking
 * at the sequence has no other plan than one that was forbidden, whose estimated cost would have every barrier compiled.
 */
export async function prepareReads(connection: Pick<Connection, 'query'>): Promise<void> {
  await connection.query(
    `select set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false), set_config('jit', 'off', false)`,
  )
}
