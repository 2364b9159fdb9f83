-- The tables of a brokerage as its predecessors built it: a balance per account, an outbox with a flag, a table of processed events.
create schema predecessor;

create table predecessor.accounts (account_id text primary key, token text not null unique, cash bigint not null, reserved bigint not null default 0);
create table predecessor.idempotency_keys (account_id text, key text, order_id uuid not null, primary key (account_id, key));
create table predecessor.orders (
  order_id uuid primary key, account_id text not null references predecessor.accounts, asset text not null, amount bigint not null,
  state text not null, created_at timestamptz not null default now(), updated_at timestamptz not null default now());
create table predecessor.outbox (
  id bigint generated always as identity primary key, topic text not null, payload json not null, published_at timestamptz);
create index on predecessor.outbox (id) where published_at is null;
create table predecessor.processed_events (consumer text, event_id bigint, primary key (consumer, event_id));
