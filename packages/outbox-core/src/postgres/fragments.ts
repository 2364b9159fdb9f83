/** Pieces of statements that several files share. */

/** Code of a failure that is the death of the relay. */
export const relayDied = 'RELAY_DIED'

/** Same text as `streamOf`, and null for a message without a key. Collation "C": equality is equality of bytes. */
export const stream = (alias: string): string => `(${alias}.topic || e'\\n' || ${alias}.ordering_key) collate "C"`

/**
 * `$n::text[]` holds the streams that wait; an empty list is folded away when the statement is planned. Tens of thousands are
 * looked up by their hash. PostgreSQL 14 does not for `<> all`, and makes that out of `not (… = any(…))`.
 */
export const notBlocked = (alias: string, n: number): string =>
  `(${alias}.ordering_key is null or cardinality($${String(n)}::text[]) = 0 or (${stream(alias)} = any($${String(n)}::text[])) is not true)`

/** `$n::text[]` holds the topics that stand still; an empty list is folded away as well. */
export const notSuspended = (alias: string, n: number): string =>
  `(cardinality($${String(n)}::text[]) = 0 or ${alias}.topic <> all($${String(n)}::text[]))`

/** `$n::bigint[]` holds the seqs of what is in memory: thousands, looked up by their hash, as with `notBlocked`. */
export const notKnown = (alias: string, n: number): string =>
  `(${alias}.seq = any($${String(n)}::bigint[])) is not true`

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
