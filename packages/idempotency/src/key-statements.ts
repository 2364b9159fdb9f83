/** The statements on idempotency keys in the transaction of the request; `s` is the quoted schema. */
export interface KeyStatements {
  readonly claim: string
  readonly removeRows: string
  readonly read: string
  readonly removeExpired: string
  readonly removeRetryable: string
  readonly countKeys: string
  readonly complete: string
}

export function keyStatements(s: string): KeyStatements {
  const keys = `${s}.idempotency_keys`
  return {
    // $1 bigint[] locks and $3 bytea[] key hashes, one of each for every pepper, $2 tenant, $4 subject hash, $5 fingerprint
    // version, $6 fingerprint, $7 operation, $8 transaction timeout, $9 body retention ms, $10 key retention ms, $11 the key's
    // own time or null. A key in flight is invisible to others: only the advisory locks show it, without waiting. They are
    // tried one by one, in one order for all, so that of two that compete one gets them all. The primary key decides, whatever
    // the locks say: to claim is to insert every hash, so of two processes that write under different peppers one meets a
    // row of the other. Rows under hashes that are not the current one are removed again at once, by \`removeRows\`.
    claim: `
      with recursive locks (at, taken) as (
        select 1, pg_try_advisory_xact_lock(($1::bigint[])[1])
        union all
        select at + 1, pg_try_advisory_xact_lock(($1::bigint[])[at + 1]) from locks where taken and at < cardinality($1::bigint[])),
      gate as materialized (
        select (select bool_and(taken) from locks) as free, set_config('idle_in_transaction_session_timeout', $8, true) as bounded,
          coalesce($11::timestamptz < clock_timestamp() - $10 * interval '1 millisecond', false) as too_old),
      claimed as (
        insert into ${keys} (tenant_id, key_hash, subject_hash, fingerprint_version, fingerprint, operation, state,
          lease_until, body_expires_at, expires_at)
        select $2, named.hash, $4, $5, $6, $7, 'in_progress', clock_timestamp(),
          clock_timestamp() + $9 * interval '1 millisecond', clock_timestamp() + $10 * interval '1 millisecond'
        from gate, unnest($3::bytea[]) as named (hash) where gate.free and not gate.too_old
        order by named.hash
        on conflict do nothing
        returning key_hash)
      select free, too_old, array(select encode(key_hash, 'hex') from claimed) as claimed from gate`,

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

    // Stops at the cap: the cost of a count does not grow with the tenant.
    countKeys: `select count(*)::int as live from (select from ${keys} where tenant_id = $1 limit $2) as counted`,

    complete: `
      update ${keys}
      set state = 'completed', lease_until = null, completed_at = clock_timestamp(), response_status = $4, response_headers = $5,
        response_body = $6, response_body_kept = $7, encryption_key_id = $8, resource_ref = $9
      where tenant_id = $1 and key_hash = $2 and fence = $3 and state = 'in_progress'
      returning fence`,
  }
}
