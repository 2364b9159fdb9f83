/** About how many rows tables hold, by PostgreSQL's own statistics: the exact number would cost a walk through each. */
export interface ConsoleStatements {
  readonly consumerCounts: string
}

/** $1 schema. Tables that are not there are not among the rows; partitions count for their table. Needs no privilege. */
const consumerCounts = `
  select coalesce(parent.relname, c.relname) as name, sum(pg_stat_get_live_tuples(c.oid))::float8 as rows
  from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
  left join pg_inherits as i on i.inhrelid = c.oid left join pg_class as parent on parent.oid = i.inhparent
  where n.nspname = $1 and c.relkind in ('r', 'p') and coalesce(parent.relname, c.relname) in
    ('processed_messages', 'processed_messages_by_day', 'inbox_consumers', 'consumer_offsets', 'idempotency_keys')
  group by 1 order by 1`

export const consoleStatements: ConsoleStatements = { consumerCounts }
