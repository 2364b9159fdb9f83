/** The statements on idempotency keys in the transaction of the request. */
export interface KeyStatements {
  readonly claim: string
  readonly removeRows: string
  readonly read: string
  readonly removeExpired: string
  readonly removeRetryable: string
  readonly countKeys: string
  readonly complete: string
}

/**
 * @param s - the quoted schema
 * @param hashCount - how many hashes `claim` is given: a shape for any number takes a quarter longer, mostly to plan
 */
export function keyStatements(s: string, hashCount: number = 1): KeyStatements {
  const keys = `${s}.idempotency_keys`
  const positions = Array.from({ length: hashCount }, (_, at) => String(at + 1))
  const allLocksTaken = positions.reduceRight(
    (others, at) => `case when pg_try_advisory_xact_lock(($1::bigint[])[${at}]) then ${others} else false end`,
    'true',
  )
  const hashes = `(values ${positions.map((at) => `(($3::bytea[])[${at}])`).join(', ')}) as named (hash)`
  return {
    // $1 bigint[] locks and $3 bytea[] key hashes, one of each for every pepper, $2 tenant, $4 subject hash, $5 fingerprint
    // version, $6 fingerprint, $7 operation, $8 transaction timeout, $9 body retention ms, $10 key retention ms, $11 the key's
    // own time or null. A key in flight is invisible to others: only the advisory locks show it, without waiting. They are
    // tried one by one, in one order for all, so that of two that compete one gets them all. The primary key decides, whatever
    // the locks say: to claim is to insert every hash, so of two processes that write under different peppers one meets a
    // row of the other. Rows under hashes that are not the current one are removed again at once, by \`removeRows\`.
    claim: `
      with gate as materialized (
        select ${allLocksTaken} as free, set_config('idle_in_transaction_session_timeout', $8, true) as bounded,
          coalesce($11::timestamptz < clock_timestamp() - $10 * interval '1 millisecond', false) as too_old),
      claimed as (
        insert into ${keys} (tenant_id, key_hash, subject_hash, fingerprint_version, fingerprint, operation, state,
          lease_until, body_expires_at, expires_at)
        select $2, named.hash, $4, $5, $6, $7, 'in_progress', clock_timestamp(),
          clock_timestamp() + $9 * interval '1 millisecond', clock_timestamp() + $10 * interval '1 millisecond'
        from gate, ${hashes} where gate.free and not gate.too_old
        order by named.hash
        on conflict do nothing
        returning key_hash)
      select gate.free, gate.too_old, claimed.key_hash from gate left join claimed on true`,

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
