-- What a relay says of itself, so that the doctor can tell a relay that is set up wrong, or that found a pooler where it needs
-- a session, from one that is well. Only adds columns without a default, so it blocks nobody for longer than its locks take.
-- A relay of an earlier version works beside it and says nothing.

alter table relays
  add column lease_ms integer,
  add column publish_timeout_ms integer,
  -- Its connections are its own; without that it has no doorbell and no presence. Null: it was told to do without.
  add column has_session boolean,
  -- It hears the doorbell. Null: it was told to do without, or has not found out yet.
  add column hears_doorbell boolean;
