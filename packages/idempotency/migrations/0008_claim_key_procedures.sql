-- Claim and finish of an atomic request as procedures: a CALL is run as it is read, where a SELECT of a function is planned first. They do
-- what most requests need, and leave the rest to the functions: a key that somebody else works on, two peppers, a limit of keys, an age of keys.
-- Only creates objects, so it blocks no writer. Processes of earlier releases go on beside them: they take the same advisory locks, and the
-- primary key decides.
-- A later protocol gets procedures of its own (_v2), and these stay as long as a process may call them.
-- Runs with search_path set to the schema Malote lives in, which is written into the procedures.

do $migration$
begin
  execute format($create$
    -- As claim_v1, but where that says "claimed" this says the number of the transaction.
    create procedure claim_key_v1(
      locks bigint[], tenant text, hashes bytea[], key_retention_ms bigint, key_time timestamptz, idle_limit text, key_cap integer,
      mark text, inout claimed text)
    language plpgsql as $body$
    declare
      known %1$I.idempotency_keys;
    begin
      if cardinality(hashes) = 1 and key_cap is null and key_time is null and pg_try_advisory_xact_lock(locks[1]) then
        claimed := set_config('idle_in_transaction_session_timeout', idle_limit, true);
        claimed := set_config('malote.claim', mark, true);
        -- A statement of its own: it began after the lock, and so sees the row of whoever held it before.
        select * into known from %1$I.idempotency_keys as held where held.tenant_id = tenant and held.key_hash = hashes[1];
        if not found then
          claimed := pg_current_xact_id()::text;
        else
          -- Made of a row that is there: a look that finds none, as most do, prepares none of it.
          claimed := '{"is_free":true,"records":[' || json_build_object(
            'key_hash', encode(known.key_hash, 'hex'), 'fingerprint_version', known.fingerprint_version,
            'fingerprint', encode(known.fingerprint, 'hex'), 'state', known.state, 'response_status', known.response_status,
            'response_headers', known.response_headers, 'response_body', encode(known.response_body, 'hex'),
            'body_kept', known.response_body_kept and known.body_expires_at > clock_timestamp(),
            'encryption_key_id', known.encryption_key_id, 'resource_ref', known.resource_ref, 'operation', known.operation,
            'completed_ms', extract(epoch from known.completed_at) * 1000,
            'expired', known.expires_at <= clock_timestamp(),
            'lease_ms', extract(epoch from known.lease_until - clock_timestamp()) * 1000)::text || ']}';
        end if;
        return;
      end if;
      claimed := %1$I.claim_v1(locks, tenant, hashes, key_retention_ms, key_time, idle_limit, key_cap, mark);
      if claimed = 'claimed' then claimed := pg_current_xact_id()::text; end if;
    end $body$
  $create$, current_schema());

  execute format($create$
    -- As finish_v1.
    create procedure finish_key_v1(
      tenant text, hashes bytea[], subject bytea, version smallint, print bytea, operation_name text, status smallint,
      headers jsonb, body bytea, is_body_kept boolean, encryption_key text, reference text, body_retention_ms bigint,
      key_retention_ms bigint, key_cap integer, mark text)
    language plpgsql as $body$
    begin
      if cardinality(hashes) = 1 and key_cap is null and current_setting('malote.claim', true) = mark then
        insert into %1$I.idempotency_keys (tenant_id, key_hash, subject_hash, fingerprint_version, fingerprint, operation, state,
          response_status, response_headers, response_body, response_body_kept, encryption_key_id, resource_ref, created_at,
          completed_at, body_expires_at, expires_at)
        values (tenant, hashes[1], subject, version, print, operation_name, 'completed', status, headers, body,
          is_body_kept, encryption_key, reference, now(), clock_timestamp(),
          clock_timestamp() + body_retention_ms * interval '1 millisecond',
          clock_timestamp() + key_retention_ms * interval '1 millisecond')
        on conflict do nothing;
        if found then return; end if;
        raise exception 'malote: the key was written by another transaction' using errcode = '40001';
      end if;
      perform %1$I.finish_v1(tenant, hashes, subject, version, print, operation_name, status, headers::text, body, is_body_kept,
        encryption_key, reference, body_retention_ms, key_retention_ms, key_cap, mark);
    end $body$
  $create$, current_schema());
end $migration$;
