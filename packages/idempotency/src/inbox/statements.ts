import type { Parameter, Statement } from '../database/statement.ts'

/** The statements of the inbox. */
export interface InboxStatements {
  readonly claim: (...values: Parameter[]) => Statement
  readonly claimOne: (...values: Parameter[]) => Statement
  readonly addConsumer: string
  readonly agesOfMessages: string
  readonly abort: string
}

/**
 * @param s - the quoted schema
 * @param partitioned - whether the producer's day is part of a row's key
 */
export function inboxStatements(s: string, partitioned: boolean): InboxStatements {
  const table = partitioned ? `${s}.processed_messages_by_day` : `${s}.processed_messages`
  const claimFunction = partitioned ? 'claim_messages_by_day_v1' : 'claim_messages_v1'
  const claimProcedure = partitioned ? 'claim_message_by_day_v1' : 'claim_message_v1'
  const claimed = `pg_current_xact_id_if_assigned()::text as transaction`
  // Written once: a text that is made anew for each message is also read anew.
  const claimMany = `select ${s}.${claimFunction}($1::text, $2::uuid[], $3::timestamptz[], $4::text, $5::bigint[]) as claimed, ${claimed}`
  const claimOne = `select ${s}.${claimFunction}($1::text, array[$2::uuid], array[$3::timestamptz], $4::text, array[]::bigint[]) as claimed, ${claimed}`
  const callOne = `call ${s}.${claimProcedure}($1, $2, $3, $4, null)`
  return {
    // Consumer, message ids, when each was made, lock_timeout while waiting, locks to try first. Migration 0006 says what it does.
    claim: (...values) => ({ text: claimMany, values }),

    // Consumer, message id, when it was made, lock_timeout while waiting. Migration 0007 says what the procedure does.
    claimOne: (...values) => ({ text: claimOne, call: callOne, values }),

    // Once in a consumer's life. Of two first messages at once the second waits for the first's transaction, up to $2.
    addConsumer: `
      with gate as materialized (
        select current_setting('lock_timeout') as previous, set_config('lock_timeout', $2, true) as bounded),
      added as (
        insert into ${s}.inbox_consumers (name) select $1 from gate on conflict do nothing returning id)
      select set_config('lock_timeout', gate.previous, true) from gate, (select count(*) from added) as added`,

    agesOfMessages: `
      select extract(epoch from clock_timestamp() - processed_at) * 1000 as age_ms
      from ${table} where consumer_id = $1 and message_id = any($2::uuid[])`,

    // After a handler threw: whoever swallows its error must not be able to commit the inbox row without the effect.
    abort: `do $$ begin
      raise exception 'malote: a message handler failed, so its transaction can only be rolled back' using errcode = 'ML001';
    end $$`,
  }
}

/** Fails with 22012 in any other transaction than the one of this number, and in one that has failed. */
export const assertStillIn = (transaction: string): Statement => ({
  text: 'select 1 / (pg_current_xact_id_if_assigned() is not distinct from $1::xid8)::int',
  values: [transaction],
})
