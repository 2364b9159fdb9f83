-- Idempotency keys of HTTP requests and their stored responses. Only creates objects, so it blocks no writer.
-- Runs with search_path set to the schema Malote lives in.

create table idempotency_keys (
  -- Part of the primary key, so that one tenant's response can never answer another's request.
  tenant_id text not null,
  -- HMAC-SHA256 over tenant, subject and key: a dump of this table reveals no reusable key.
  key_hash bytea not null,
  -- HMAC-SHA256 over tenant and subject: what `forgetSubject` looks for.
  subject_hash bytea not null,
  -- How the fingerprint was computed, so that a later version still recognises rows of an earlier one.
  fingerprint_version smallint not null,
  fingerprint bytea not null,
  operation text not null,
  -- in_progress: claimed, visible only in lease mode. completed: the response is stored, for good. retryable: the attempt
  -- provably had no effect. indeterminate: nobody knows whether a foreign effect happened, an operator decides.
  state text not null,
  -- Rises with every claim. Whoever carries an older one has lost the key.
  fence bigint not null default 1,
  attempt integer not null default 1,
  lease_until timestamptz,
  -- Where an interrupted attempt may go on, and what it knew then.
  recovery_point text,
  recovery_data jsonb,
  response_status smallint,
  response_headers jsonb,
  -- The exact bytes, before transfer compression. Null once `body_expires_at` has passed, or when it was too large to keep.
  response_body bytea,
  response_body_kept boolean not null default false,
  -- Null: plain. Otherwise the id of the key the body is encrypted with (AES-256-GCM).
  encryption_key_id text,
  -- What the request made, for answering after the body is gone.
  resource_ref text,
  created_at timestamptz not null default clock_timestamp(),
  completed_at timestamptz,
  -- Null once the body has been purged.
  body_expires_at timestamptz,
  expires_at timestamptz not null,
  constraint idempotency_keys_pkey primary key (tenant_id, key_hash),
  constraint tenant_is_not_empty check (tenant_id <> ''),
  constraint key_hash_is_sha256 check (octet_length(key_hash) = 32),
  constraint subject_hash_is_sha256 check (octet_length(subject_hash) = 32),
  constraint fingerprint_is_sha256 check (octet_length(fingerprint) = 32),
  constraint state_is_known check (state in ('in_progress', 'completed', 'retryable', 'indeterminate')),
  constraint completed_iff_status check ((state = 'completed') = (response_status is not null)),
  constraint in_progress_iff_leased check ((state = 'in_progress') = (lease_until is not null))
) with (fillfactor = 85);

-- Neither index looks at `state`: completing a row in the transaction that claimed it must stay a heap-only update.
-- Work that is not finished never expires: its `expires_at` is infinity, which is also how an operator's list finds it.
create index idempotency_keys_expires_at on idempotency_keys (expires_at);
create index idempotency_keys_body_expires_at on idempotency_keys (body_expires_at);
