import { quoteIdentifier } from './identifiers.ts'

/** $1 bigint[] ids of dead letters. What each consumer's inbox, of either profile, knows of them. */
export function explainStatement(schema: string): string {
  const s = quoteIdentifier(schema)
  return `
    select letter.dead_letter_id::text as "deadLetterId", letter.id, consumer.name as consumer, applied.at as "appliedAt",
      case when applied.at is not null then 'applied'
        when letter.created_at < (select max(refused_before) from ${s}.inbox_watermarks) then 'forgotten'
        else 'not applied' end as outcome
    from ${s}.dead_letters as letter cross join ${s}.inbox_consumers as consumer
    left join lateral (
      select min(found.at) as at from (
        select processed_at as at from ${s}.processed_messages
        where consumer_id = consumer.id and message_id = letter.id
        union all
        select processed_at from ${s}.processed_messages_by_day
        where consumer_id = consumer.id and message_id = letter.id) as found) as applied on true
    where letter.dead_letter_id = any($1::bigint[])
    order by letter.dead_letter_id, consumer.name`
}
