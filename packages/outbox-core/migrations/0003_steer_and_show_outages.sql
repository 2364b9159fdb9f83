-- What stands still and why: topics that an operator paused, keys held by hand, and destinations that take nothing.
-- Only creates objects and adds columns without a default, so it blocks writers for no longer than its locks take.

create table paused_topics (
  topic text not null,
  -- Who paused it and why, as the operator says.
  paused_by text not null,
  reason text not null,
  paused_at timestamptz not null default clock_timestamp(),
  constraint paused_topics_pkey primary key (topic)
);

-- Null for keys that the relay holds behind a dead letter.
alter table held_keys add column held_by text, add column reason text;

-- What a relay finds out of reach at the moment: written when it changes,. Rows of relays that are gone count for nothing and
-- are cleared away by the next that writes; no foreign key, so that who truncates the other tables need not know of this one.
create table outages (
  relay uuid not null,
  -- Empty: the broker as a whole.
  destination text not null,
  -- Topics that stand still for it.
  topics text[] not null,
  started_at timestamptz not null,
  -- The last words of the broker when the outage was written down.
  code text not null,
  message text not null,
  constraint outages_pkey primary key (relay, destination)
);
