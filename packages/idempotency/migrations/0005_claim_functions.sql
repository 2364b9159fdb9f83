-- Claim and finish of an atomic request as functions: one statement each, whose plans PostgreSQL keeps for the session without
-- prepared statements, so that poolers are no obstacle. Only creates objects, so it blocks no writer. Processes of earlier
-- releases go on beside them: they take the same advisory locks, and the primary key decides between them and these.
-- A later protocol gets functions of its own (_v2), and these stay as long as a process may call them.
-- Runs with search_path set to the schema Malote lives in, which is written into the functions.

do $migration$
begin
  execute format($create$
    -- Takes the locks of a key without waiting, then reads what is known of it, in a statement of its own: it began after the
    -- locks, and so sees the row of whoever held them before. Writes nothing: a key in flight is its locks and nothing else.
    -- Says claimed, busy, too-old or full when nothing is known, else the records as JSON. One value, and a look for each hash: a
    -- table costs more to hand over than all the rest, and a list of hashes is planned anew each time.
    create function claim_v1(
      locks bigint[], tenant text, hashes bytea[], key_retention_ms bigint, key_time timestamptz, idle_limit text, key_cap integer,
      mark text)
    returns text language plpgsql volatile as $body$
    declare
      next_lock bigint;
      next_hash bytea;
      is_free boolean := true;
      one text;
      records text;
    begin
      -- The mark is for finish: gone when the handler ends the transaction, whatever it begins afterwards.
      one := set_config('idle_in_transaction_session_timeout', idle_limit, true);
      one := set_config('malote.claim', mark, true);
      -- In the order given, which is one for all: of two that compete one gets them all.
      foreach next_lock in array locks loop
        is_free := pg_try_advisory_xact_lock(next_lock);
        exit when not is_free;
      end loop;
      foreach next_hash in array hashes loop
        select json_build_object('key_hash', encode(known.key_hash, 'hex'), 'fingerprint_version', known.fingerprint_version,
            'fingerprint', encode(known.fingerprint, 'hex'), 'state', known.state, 'response_status', known.response_status,
            'response_headers', known.response_headers, 'response_body', encode(known.response_body, 'hex'),
            'body_kept', known.response_body_kept and known.body_expires_at > clock_timestamp(),
            'encryption_key_id', known.encryption_key_id, 'resource_ref', known.resource_ref, 'operation', known.operation,
            'completed_ms', extract(epoch from known.completed_at) * 1000,
            'expired', known.expires_at <= clock_timestamp(),
            'lease_ms', extract(epoch from known.lease_until - clock_timestamp()) * 1000)
          into one
          from %1$I.idempotency_keys as known where known.tenant_id = tenant and known.key_hash = next_hash;
        if found then records := concat_ws(',', records, one); end if;
      end loop;
      if records is not null then return format('{"is_free":%%s,"records":[%%s]}', is_free::text, records); end if;
      if key_time is not null and key_time < clock_timestamp() - key_retention_ms * interval '1 millisecond' then
        return 'too-old';
      end if;
      if not is_free then return 'busy'; end if;
      -- An early answer only; finish counts again, exactly.
      if key_cap is not null then
        if (select count(*) from (
          select from %1$I.idempotency_keys as held
          where held.tenant_id = tenant and held.expires_at > clock_timestamp() limit key_cap) as counted) >= key_cap
        then return 'full'; end if;
      end if;
      return 'claimed';
    end $body$
  $create$, current_schema());

  execute format($create$
    -- Writes the row of a claimed key, once and complete. Fails with ML003 when the transaction is not the one that claimed it,
    -- with 40001 when somebody else has written the key meanwhile, with ML004 when the tenant has too many keys.
    create function finish_v1(
      tenant text, hashes bytea[], subject bytea, version smallint, print bytea, operation_name text, status smallint,
      headers text, body bytea, is_body_kept boolean, encryption_key text, reference text, body_retention_ms bigint,
      key_retention_ms bigint, key_cap integer, mark text)
    returns boolean language plpgsql volatile as $body$
    declare
      next_hash bytea;
      in_order bytea[] := hashes;
    begin
      if current_setting('malote.claim', true) is distinct from mark then
        raise exception 'malote: the transaction is not the one that claimed the key' using errcode = 'ML003';
      end if;
      -- One that counts waits for the one that counted before it, and sees its row.
      if key_cap is not null then perform pg_advisory_xact_lock(hashtextextended(tenant, 7300472)); end if;
      -- A row under every pepper, of which the current one's stays: of two processes that write under different peppers one
      -- meets a row of the other, even when its snapshot is too old to show it. In one order, as the locks are.
      if cardinality(hashes) > 1 then
        in_order := array(select named.hash from unnest(hashes) as named (hash) order by named.hash);
      end if;
      foreach next_hash in array in_order loop
        insert into %1$I.idempotency_keys (tenant_id, key_hash, subject_hash, fingerprint_version, fingerprint, operation, state,
          response_status, response_headers, response_body, response_body_kept, encryption_key_id, resource_ref, created_at,
          completed_at, body_expires_at, expires_at)
        values (tenant, next_hash, subject, version, print, operation_name, 'completed', status, headers::jsonb, body,
          is_body_kept, encryption_key, reference, now(), clock_timestamp(),
          clock_timestamp() + body_retention_ms * interval '1 millisecond',
          clock_timestamp() + key_retention_ms * interval '1 millisecond')
        on conflict do nothing;
        if not found then
          raise exception 'malote: the key was written by another transaction' using errcode = '40001';
        end if;
      end loop;
      if cardinality(hashes) > 1 then
        delete from %1$I.idempotency_keys where tenant_id = tenant and key_hash = any(hashes[2:]);
      end if;
      if key_cap is not null then
        if (select count(*) from (
          select from %1$I.idempotency_keys as held
          where held.tenant_id = tenant and held.expires_at > clock_timestamp() limit key_cap + 1) as counted) > key_cap
        then raise exception 'malote: the tenant has too many keys' using errcode = 'ML004'; end if;
      end if;
      return true;
    end $body$
  $create$, current_schema());
end $migration$;
