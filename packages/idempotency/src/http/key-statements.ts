import type { Statement, Parameter } from '../database/statement.ts'

/** The statements on idempotency keys in the transaction of the request. */
export interface KeyStatements {
  readonly claim: (...values: Parameter[]) => Statement
  readonly finish: (...values: Parameter[]) => Statement
  readonly mark: (mark: string) => Statement
  readonly leaveToOperator: string
  readonly removeRows: string
  readonly read: string
  readonly removeExpired: string
  readonly removeRetryable: string
  readonly removeAbandoned: string
}

/** Another mark, or none, than at the beginning: the handler has ended the transaction that began there. */
export const currentMark: string = `select current_setting('malote.claim', true) as mark`

/** @param s - the quoted schema */
export function keyStatements(s: string): KeyStatements {
  const keys = `${s}.idempotency_keys`
  // Written once: a text that is made anew for each request is also read anew.
  const claim = {
    text: `select place, claimed, case claimed when 'claimed' then pg_current_xact_id()::text end as transaction from (
        select $9::integer as place, ${s}.claim_v1($1::bigint[], $2::text, $3::bytea[], $4::bigint, $5::timestamptz, $6::text, $7::integer, $8::text) as claimed
      ) as asked`,
    call: `call ${s}.claim_key_v1($1::bigint[], $2, $3::bytea[], $4, $5, $6, $7, $8, null)`,
  }
  const finish = {
    text: `select ${s}.finish_v1($1::text, $2::bytea[], $3::bytea, $4::smallint, $5::bytea, $6::text, $7::smallint,
        $8::text, $9::bytea, $10::boolean, $11::text, $12::text, $13::bigint, $14::bigint, $15::integer, $16::text)`,
    call: `call ${s}.finish_key_v1($1, $2::bytea[], $3, $4::smallint, $5, $6, $7::smallint, $8::jsonb, $9, $10, $11, $12, $13, $14, $15, $16)`,
  }
  return {
    // Migration 0005 says what the functions do, 0008 what the procedures do. Who claims gets the number of the transaction, which tells
    // later what became of it. A number is given to transactions that write, and a replay is none.
    // Advisory locks, tenant, key hashes (the current first), key retention ms, the key's own time or null, transaction timeout,
    // keys a tenant may have or null, the mark of the transaction, the place of the request in it.
    claim: (...values) => ({ ...claim, values }),

    // Tenant, key hashes (the current first), subject hash, fingerprint version, fingerprint, operation, status, headers, body,
    // whether it is kept, encryption key, resource, body retention ms, key retention ms, keys a tenant may have or null, the same mark.
    finish: (...values) => ({ ...finish, values }),

    // For requests without a key, which get no number: the handler of most of them may only read.
    mark: (mark) => ({ text: `select set_config('malote.claim', $1::text, true) as mark`, values: [mark] }),

    // Tenant, key hash, subject hash, fingerprint version, fingerprint, operation. Whoever runs under the key meanwhile conflicts with it, and
    // is rolled back.
    leaveToOperator: `
      insert into ${keys} (tenant_id, key_hash, subject_hash, fingerprint_version, fingerprint, operation, state, expires_at)
      values ($1, $2, $3, $4, $5, $6, 'indeterminate', 'infinity')
      on conflict do nothing`,

    // For rows of this transaction only. Until it ends the primary key keeps others from these hashes all the same.
    removeRows: `delete from ${keys} where tenant_id = $1 and key_hash = any($2::bytea[])`,

    // Always a statement of its own after \`claim\`: one that began before the winner's commit would not see its row.
    read: `
      select key_hash, fingerprint_version, fingerprint, state, fence, response_status, response_headers, response_body,
        response_body_kept and body_expires_at > clock_timestamp() as body_kept, encryption_key_id, resource_ref, operation,
        completed_at, expires_at <= clock_timestamp() as expired,
        extract(epoch from lease_until - clock_timestamp()) * 1000 as lease_ms
      from ${keys} where tenant_id = $1 and key_hash = any($2::bytea[])`,

    // An expired key counts as absent whether or not the purge has come by. Unfinished work never expires.
    removeExpired: `
      delete from ${keys}
      where tenant_id = $1 and key_hash = any($2::bytea[]) and expires_at <= clock_timestamp() and state in ('completed', 'retryable')`,

    // Its attempts provably had no effect: an atomic operation starts anew.
    removeRetryable: `delete from ${keys} where tenant_id = $1 and key_hash = any($2::bytea[]) and state = 'retryable'`,

    // A holder that is committing keeps the row locked: it is left alone, and nobody waits for it.
    removeAbandoned: `
      delete from ${keys} as old using (
        select tenant_id, key_hash from ${keys}
        where tenant_id = $1 and key_hash = any($2::bytea[]) and state = 'in_progress' and lease_until < clock_timestamp()
        for update skip locked) as free
      where old.tenant_id = free.tenant_id and old.key_hash = free.key_hash`,
  }
}
