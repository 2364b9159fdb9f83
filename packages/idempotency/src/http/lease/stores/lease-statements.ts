/** The statements of lease mode on PostgreSQL, in the order of a key's life. */
export interface LeaseStatements {
  readonly claim: string
  readonly takeOver: string
  readonly whetherClaimed: string
  readonly renew: string
  readonly saveRecovery: string
  readonly lockHeld: string
  readonly complete: string
  readonly release: string
  readonly listUnresolved: string
  readonly resolve: string
}

/** @param s - the quoted schema */
export function leaseStatements(s: string): LeaseStatements {
  const keys = `${s}.idempotency_keys`
  const held = `tenant_id = $1 and key_hash = $2 and fence = $3 and state = 'in_progress'`
  const unresolved = `(state = 'indeterminate' or (state = 'in_progress' and lease_until < clock_timestamp()))`
  const storeResponse = `
    state = 'completed', lease_until = null, completed_at = clock_timestamp(), response_status = $4, response_headers = $5,
    response_body = $6, response_body_kept = $7, encryption_key_id = $8, resource_ref = $9,
    body_expires_at = clock_timestamp() + $10 * interval '1 millisecond',
    expires_at = clock_timestamp() + $11 * interval '1 millisecond'`
  return {
    // $1 tenant, $2 bytea[] key hashes, one for every pepper, $3 subject hash, $4 fingerprint version, $5 fingerprint, $6
    // operation, $7 lease ms, $8 key retention ms, $9 the key's own time or null. The primary key lets one of any number in:
    // to claim is to insert every hash, in one order for all. Those that are not the current one are removed again at once.
    claim: `
      with gate as materialized (
        select coalesce($9::timestamptz < clock_timestamp() - $8 * interval '1 millisecond', false) as too_old),
      claimed as (
        insert into ${keys} (tenant_id, key_hash, subject_hash, fingerprint_version, fingerprint, operation, state, lease_until, expires_at)
        select $1, named.hash, $3, $4, $5, $6, 'in_progress', clock_timestamp() + $7 * interval '1 millisecond', 'infinity'
        from gate, unnest($2::bytea[]) as named (hash) where not gate.too_old
        order by named.hash
        on conflict do nothing
        returning key_hash)
      select gate.too_old, claimed.key_hash, pg_current_xact_id()::text as transaction from gate left join claimed on true`,

    // $3 fingerprint version, $4 fingerprint, $5 lease ms, $6 whether an expired lease may be taken over, $7 attempts at the
    // most. A holder that is committing keeps the row locked: skipped, so a slow commit is never taken over, and nobody
    // waits for it. The lock re-reads the row, so a key renewed or completed meanwhile is not taken either.
    takeOver: `
      with free as materialized (
        select tenant_id, key_hash, state = 'retryable' or $6 as may_go_on, state = 'in_progress' as expired
        from ${keys}
        where tenant_id = $1 and key_hash = $2 and fingerprint_version = $3 and fingerprint = $4
          and expires_at > clock_timestamp()
          and (state = 'retryable' or (state = 'in_progress' and lease_until < clock_timestamp()))
        for no key update skip locked)
      update ${keys} as taken
      set state = case when free.may_go_on and attempt < $7 then 'in_progress' else 'indeterminate' end,
        lease_until = case when free.may_go_on and attempt < $7 then clock_timestamp() + $5 * interval '1 millisecond' end,
        attempt = case when free.may_go_on and attempt < $7 then attempt + 1 else attempt end,
        fence = fence + 1, expires_at = 'infinity'
      from free
      where taken.tenant_id = free.tenant_id and taken.key_hash = free.key_hash
      returning taken.key_hash, taken.state, taken.fence, taken.attempt, taken.recovery_point, taken.recovery_data, free.expired,
        pg_current_xact_id()::text as transaction`,

    // After the acknowledgement of a claim's COMMIT was lost. $4 the transaction that claimed. The row version it wrote is the proof: a
    // number alone may have been given again after a failover.
    whetherClaimed: `
      select pg_xact_status($4::xid8) as status,
        exists (select from ${keys} where ${held} and xmin = $4::xid8::xid) as is_held`,

    renew: `update ${keys} set lease_until = clock_timestamp() + $4 * interval '1 millisecond' where ${held} returning 1`,

    saveRecovery: `update ${keys} set recovery_point = $4, recovery_data = $5 where ${held} returning 1`,

    // First in the transaction of the effects: from here to COMMIT nobody can take the key over.
    lockHeld: `select 1 from ${keys} where ${held} for no key update`,

    complete: `update ${keys} set ${storeResponse} where ${held} returning 1`,

    // $4 state, $5 key retention ms. What provably had no effect may expire; what nobody knows about may not.
    release: `
      update ${keys} set state = $4, lease_until = null,
        expires_at = case when $4 = 'retryable' then clock_timestamp() + $5 * interval '1 millisecond' else 'infinity'::timestamptz end
      where ${held} returning 1`,

    listUnresolved: `
      select tenant_id, encode(key_hash, 'hex') as key_hash, operation, state, attempt, created_at, recovery_point, recovery_data,
        subject_hash, fingerprint_version, fingerprint
      from ${keys} where expires_at = 'infinity' and ${unresolved}
      order by created_at limit $1`,

    // The values are those of \`complete\`, $3 the step of the fence. $4 null: retryable, with all attempts given back.
    resolve: `
      with free as materialized (
        select tenant_id, key_hash from ${keys} where tenant_id = $1 and key_hash = $2 and ${unresolved} for no key update skip locked)
      update ${keys} as resolved
      set fence = resolved.fence + $3, state = case when $4::smallint is null then 'retryable' else 'completed' end, lease_until = null,
        attempt = case when $4::smallint is null then 0 else attempt end, completed_at = case when $4::smallint is not null then clock_timestamp() end, response_status = $4, response_headers = $5,
        response_body = $6, response_body_kept = $7, encryption_key_id = $8, resource_ref = $9,
        body_expires_at = clock_timestamp() + $10 * interval '1 millisecond',
        expires_at = clock_timestamp() + $11 * interval '1 millisecond'
      from free where resolved.tenant_id = free.tenant_id and resolved.key_hash = free.key_hash
      returning 1`,
  }
}
