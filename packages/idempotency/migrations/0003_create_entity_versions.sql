-- The last version a consumer has applied of each entity: an alternative to one row for each message, for consumers that
-- keep a copy of the latest state. Only creates objects, so it blocks no writer.
create table entity_versions (
  consumer_id smallint not null,
  entity text not null,
  version bigint not null,
  updated_at timestamptz not null default now(),
  constraint entity_versions_pkey primary key (consumer_id, entity)
) with (fillfactor = 50);
