-- What operators look at: how much went out, and who decided what. Only creates objects, so it blocks no
-- writer. A relay of an earlier version works beside it and fills none of it.

-- How much of each topic was published. Messages are deleted when they are published, so without this table an outbox that
-- nobody writes to looks like a healthy one. Relays add to it every few seconds, never once for each message.
create table flow (
  topic text not null,
  -- Since this table exists. A relay that is killed takes the last seconds of its count with it.
  published bigint not null default 0,
  last_published_at timestamptz not null,
  -- When the newest of the published messages was added.
  last_added_at timestamptz not null,
  constraint flow_pkey primary key (topic)
);

-- Who decided what about messages that failed. Never changed, only added to.
create table operator_actions (
  operator_action_id bigint not null generated always as identity,
  at timestamptz not null default clock_timestamp(),
  -- Who the operator says to be, and the role that the database knows.
  operator text not null,
  database_role text not null default session_user,
  -- replay, discard, purge or release.
  action text not null,
  -- What was decided about: topic, type, message id and ordering key of each.
  target jsonb not null,
  reason text,
  affected integer not null,
  constraint operator_actions_pkey primary key (operator_action_id)
);
