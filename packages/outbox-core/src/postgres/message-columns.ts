import { relayDied } from './fragments.ts'

/** Columns of a message `m` as a read brings them, and what of them the memory has room for. */

const columns = `m.seq, m.lane, m.id, m.topic, m.type, m.ordering_key, m.payload, m.payload_binary, m.content_type,
  m.headers::text as headers, date_part('epoch', m.created_at) as created_s, m.attempts,
  case when m.failures -> -1 ->> 'code' = '${relayDied}' and jsonb_typeof(m.failures -> -1 -> 'among') = 'number'
    then greatest(1, least(1000, (m.failures -> -1 ->> 'among')::numeric))::integer end as died_among`

/** Of the body, as it will lie in the relay's memory. PostgreSQL knows it without unpacking what is compressed. */
const bodySize = 'coalesce(octet_length(m.payload), octet_length(m.payload_binary))'
const headersSize = 'coalesce(octet_length(m.headers::text), 0)'

/** What the row takes in the relay's memory, and the larger of its two parts that have no bound of their own: both together fit an integer. */
export const measured: string = `${columns}, ${bodySize} + ${headersSize} as size, greatest(${bodySize}, ${headersSize}) as largest`

/**
 * The measured rows with their `cost`: the bytes that reading one takes of the budget. Null for what is never read: a part is above `$most`,
 * or it ended `$attempts` relays, each time alone. Computed once for each row, because they are ordered here: otherwise the planner
 * would copy it to wherever it is used.
 */
export const priced = (rows: string, order: string, most: number, attempts: number): string => `(
          select measured.*, case when measured.largest <= $${String(most)}::float8
            and (measured.died_among = 1 and measured.attempts >= $${String(attempts)}::integer) is not true then measured.size end as cost
          from (${rows}) as measured order by ${order})`

/** The columns of `o`, with body and headers only where the budget allows. A row without a body says how much it would take. */
export const withinBudget = (
  isRead: string,
): string => `o.seq, o.lane, o.id, o.topic, o.type, o.ordering_key, o.content_type,
  o.created_s, o.attempts, o.died_among, o.size, o.largest,
  case when ${isRead} then o.headers end as headers, case when ${isRead} then o.payload end as payload,
  case when ${isRead} then o.payload_binary end as payload_binary`

/** Bytes of the rows before this one that are read. */
export const bytesBefore = (order: string): string =>
  `coalesce(sum(priced.cost) over (order by ${order} rows between unbounded preceding and 1 preceding), 0)`
