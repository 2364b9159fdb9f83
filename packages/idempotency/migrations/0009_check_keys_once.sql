-- Storing a key gets cheaper: seven checks are made ready anew, from their text, in each statement that writes a row, and cost more than the
-- row. A trigger looks at the same rules with expressions that the session keeps. It refuses the same rows as before, by the same constraint
-- names. Rows that are there stay as they are and are not read: each statement holds its lock for an instant only, waits for the transactions
-- that are writing at that moment, and new ones wait behind it.
-- Runs with search_path set to the schema Malote lives in.

alter table idempotency_keys
  drop constraint tenant_is_not_empty,
  drop constraint key_hash_is_sha256,
  drop constraint subject_hash_is_sha256,
  drop constraint fingerprint_is_sha256,
  drop constraint state_is_known,
  drop constraint completed_iff_status,
  drop constraint in_progress_iff_leased;

-- Text is pg_catalog's: a temporary table makes a type of its name, which would be found first.
create function check_key() returns trigger
language plpgsql as $$
declare
  broken constant pg_catalog.text := case
    when new.tenant_id = '' then 'tenant_is_not_empty'
    when octet_length(new.key_hash) <> 32 then 'key_hash_is_sha256'
    when octet_length(new.subject_hash) <> 32 then 'subject_hash_is_sha256'
    when octet_length(new.fingerprint) <> 32 then 'fingerprint_is_sha256'
    when new.state not in ('in_progress', 'completed', 'retryable', 'indeterminate') then 'state_is_known'
    when (new.state = 'completed') <> (new.response_status is not null) then 'completed_iff_status'
    when (new.state = 'in_progress') <> (new.lease_until is not null) then 'in_progress_iff_leased'
  end;
begin
  if broken is not null then
    raise exception 'new row for relation "%" violates check constraint "%"', tg_table_name, broken
      using errcode = 'check_violation', schema = tg_table_schema, table = tg_table_name, constraint = broken;
  end if;
  return new;
end $$;

-- PostgreSQL calls triggers in the order of their names: what another one changed before is looked at as well.
create trigger zz_check_key
  before insert or update of tenant_id, key_hash, subject_hash, fingerprint, state, response_status, lease_until on idempotency_keys
  for each row execute function check_key();
-- For replication and bulk loads too, which pass by other triggers.
alter table idempotency_keys enable always trigger zz_check_key;
