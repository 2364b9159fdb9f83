-- The simulated exchange's own memory, in a schema of its own: a real exchange does not forget when its customers restart.

create table executions (
  -- Chosen by the customer. The same id is the same order, however often it arrives.
  client_order_id uuid not null,
  asset text not null,
  side text not null,
  -- The worst price the customer accepts. Null: withdrawn before it ever arrived.
  limit_price_centavos bigint,
  outcome text not null,
  reason text,
  filled_quantity bigint,
  price_centavos bigint,
  -- How often it arrived again after it had an outcome.
  repeats integer not null default 0,
  decided_at timestamptz not null default clock_timestamp(),
  constraint executions_pkey primary key (client_order_id),
  constraint outcome_is_known check (outcome in ('filled', 'rejected', 'cancelled')),
  constraint filled_iff_priced check ((outcome = 'filled') = (filled_quantity is not null and price_centavos is not null))
);
