-- Accounts, their ledger, the saga of each order with its history, and what each listener keeps. Only creates objects, so it
-- blocks no writer. Runs with search_path set to the brokerage's schema.

create table accounts (
  account_id text not null,
  holder text not null,
  role text not null default 'USER',
  -- AES-256-GCM, made by the application: nonce, tag, ciphertext. Null: an account without a person behind it.
  cpf_encrypted bytea,
  -- scrypt: salt, hash. Null: nobody signs in with a password.
  password_hash bytea,
  -- SHA-256 of a long-lived demo token, never the token. Null: only signed tokens.
  token_hash bytea,
  -- Antifraud: no single order above this, no more than this a day, no more orders than this a minute.
  order_limit_centavos bigint not null,
  daily_limit_centavos bigint not null,
  orders_per_minute integer not null,
  -- What antifraud counts, kept on the row that every order of the account locks anyway.
  day date not null default current_date,
  day_centavos bigint not null default 0,
  minute_at timestamptz not null default clock_timestamp(),
  minute_orders integer not null default 0,
  constraint accounts_pkey primary key (account_id),
  constraint accounts_token_hash_key unique (token_hash),
  constraint role_is_known check (role in ('USER', 'ADMIN')),
  constraint limits_are_not_negative check (order_limit_centavos >= 0 and daily_limit_centavos >= 0 and orders_per_minute >= 0)
) with (fillfactor = 50);

-- The last price of each asset the brokerage quotes, in centavos a share.
create table quotes (
  asset text not null,
  price_centavos bigint not null,
  -- Mean of the ticks of the last five minutes.
  average_centavos bigint not null,
  quoted_at timestamptz not null default clock_timestamp(),
  constraint quotes_pkey primary key (asset),
  constraint price_is_positive check (price_centavos > 0)
) with (fillfactor = 50);

create table ticks (
  asset text not null,
  price_centavos bigint not null,
  ticked_at timestamptz not null default clock_timestamp(),
  constraint ticks_pkey primary key (asset, ticked_at)
);

-- An order is its saga: one row, one state.
create table orders (
  order_id uuid not null,
  account_id text not null references accounts,
  asset text not null,
  side text not null,
  -- What a purchase may cost; what a sale is expected to bring.
  amount_centavos bigint not null,
  -- Millionths of a share, and the worst price accepted for one share: they fix what the reservation must cover.
  quantity bigint not null,
  limit_price_centavos bigint not null,
  state text not null,
  -- Number of the last history row.
  version integer not null,
  -- Why it did not fill, in the words of whoever decided.
  reason text,
  -- What the exchange filled, from FILLED on. Less than the quantity: the rest was cancelled.
  filled_quantity bigint,
  fill_price_centavos bigint,
  correlation_id text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint orders_pkey primary key (order_id),
  constraint side_is_known check (side in ('BUY', 'SELL')),
  constraint amount_is_positive check (amount_centavos > 0 and quantity > 0 and limit_price_centavos > 0),
  constraint state_is_known check (state in (
    'STARTED', 'BALANCE_RESERVED', 'SENT_TO_B3', 'FILLED', 'SETTLED', 'COMPENSATING', 'COMPENSATED', 'FAILED', 'CANCELLED')),
  constraint fill_fits_order check (filled_quantity is null or filled_quantity between 1 and quantity)
) with (fillfactor = 60);
create index orders_account on orders (account_id, order_id);
-- What still holds money: stays as small as what is under way.
create index orders_open on orders (created_at) where state not in ('SETTLED', 'COMPENSATED', 'CANCELLED');

-- Every transition, in the commit that made it. Folding an order's rows rebuilds the order.
create table order_history (
  order_id uuid not null,
  version integer not null,
  state text not null,
  -- What the transition set, and at version 1 the order itself.
  data json not null,
  correlation_id text not null,
  -- Id of the message or request that caused it.
  causation_id text not null,
  -- Who: an account, or a part of the brokerage.
  actor text not null,
  happened_at timestamptz not null default clock_timestamp(),
  constraint order_history_pkey primary key (order_id, version)
);
create index order_history_actor on order_history (actor, happened_at);

-- Money and shares that are somebody's. Written by the trigger on movements, by nobody else.
create table balances (
  account_id text not null references accounts,
  -- cash and holding are free to use; *_reserved waits for the exchange.
  kind text not null,
  -- BRL in centavos, tickers in millionths of a share.
  asset text not null,
  amount bigint not null,
  constraint balances_pkey primary key (account_id, kind, asset),
  constraint kind_is_known check (kind in ('cash', 'cash_reserved', 'holding', 'holding_reserved')),
  constraint cash_is_in_brl check ((kind in ('cash', 'cash_reserved')) = (asset = 'BRL')),
  constraint balance_is_not_negative check (amount >= 0)
) with (fillfactor = 50);

-- Double entry in one row: what one pocket gives is what another gets, so no row can be out of balance.
-- A pocket without an account is the market's: where seed money comes from, and who is on the other side of a trade.
create table ledger_movements (
  movement_id bigint not null generated always as identity,
  order_id uuid,
  reason text not null,
  asset text not null,
  amount bigint not null,
  from_account text,
  from_kind text not null,
  to_account text,
  to_kind text not null,
  posted_at timestamptz not null default clock_timestamp(),
  constraint ledger_movements_pkey primary key (movement_id),
  constraint amount_is_positive check (amount > 0),
  constraint reason_is_known check (reason in ('opening', 'reservation', 'payment', 'delivery', 'release')),
  constraint order_iff_not_opening check ((order_id is null) = (reason = 'opening')),
  constraint market_has_no_account check (
    (from_account is null) = (from_kind = 'market') and (to_account is null) = (to_kind = 'market'))
);
-- The last line of defence behind the inbox: an order is reserved, paid, delivered and released once at the most.
create unique index movement_of_order_is_made_once on ledger_movements (order_id, reason) where order_id is not null;

create function apply_ledger_movements() returns trigger language plpgsql set search_path from current as $$
begin
  insert into balances (account_id, kind, asset, amount)
  select account_id, kind, asset, 0
  from (select to_account, to_kind, asset from moved where to_account is not null) as gains (account_id, kind, asset)
  group by account_id, kind, asset
  order by account_id, kind, asset
  on conflict do nothing;
  update balances as balance
  set amount = balance.amount + change.amount
  from (
    select account_id, kind, asset, sum(side.amount) as amount
    from moved
    cross join lateral (values (from_account, from_kind, -moved.amount), (to_account, to_kind, moved.amount))
      as side (account_id, kind, amount)
    where account_id is not null
    group by account_id, kind, asset
  ) as change
  where (balance.account_id, balance.kind, balance.asset) = (change.account_id, change.kind, change.asset);
  return null;
end $$;
create trigger movements_move_balances after insert on ledger_movements
  referencing new table as moved for each statement execute function apply_ledger_movements();

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is only added to: what was wrong is reversed, not changed', tg_table_name
    using errcode = 'restrict_violation';
end $$;
create trigger movements_are_immutable before update or delete on ledger_movements
  for each statement execute function refuse_change();
create trigger history_is_immutable before update or delete on order_history
  for each statement execute function refuse_change();

-- What the shares of an account cost, and what selling them brought beyond that. How many there are the ledger says.
create table positions (
  account_id text not null references accounts,
  asset text not null,
  quantity bigint not null,
  cost_centavos bigint not null,
  realized_centavos bigint not null default 0,
  constraint positions_pkey primary key (account_id, asset),
  constraint position_is_not_negative check (quantity >= 0 and cost_centavos >= 0)
) with (fillfactor = 50);

-- Orders that a person must decide, because the exchange does not say what became of them.
create table manual_tasks (
  order_id uuid not null references orders,
  reason text not null,
  opened_at timestamptz not null default clock_timestamp(),
  -- Null: waits for a person, while the exchange goes on being asked.
  resolved_at timestamptz,
  resolved_by text,
  resolution text,
  constraint manual_tasks_pkey primary key (order_id)
);
create index manual_tasks_open on manual_tasks (opened_at) where resolved_at is null;

-- How the breakers of this deployment are, for whoever watches. Written when one changes.
create table breakers (
  name text not null,
  state text not null,
  changed_at timestamptz not null default clock_timestamp(),
  constraint breakers_pkey primary key (name)
);

create table notifications (
  notification_id bigint not null generated always as identity primary key,
  account_id text not null,
  order_id uuid not null,
  text text not null,
  sent_at timestamptz not null default clock_timestamp()
);

create table audit_entries (
  audit_entry_id bigint not null generated always as identity primary key,
  order_id uuid not null,
  account_id text not null,
  event text not null,
  happened_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp()
);
create index audit_entries_order on audit_entries (order_id);

create table compliance_alerts (
  alert_id bigint not null generated always as identity primary key,
  account_id text not null,
  order_id uuid not null,
  amount_centavos bigint not null,
  raised_at timestamptz not null default clock_timestamp()
);

-- Counters on purpose: a message applied twice shows.
create table asset_reports (
  asset text not null,
  orders_settled bigint not null default 0,
  orders_undone bigint not null default 0,
  bought_centavos bigint not null default 0,
  sold_centavos bigint not null default 0,
  constraint asset_reports_pkey primary key (asset)
);

-- The query side: made from events, thrown away and rebuilt from the history at will.
create table order_views (
  order_id uuid not null,
  account_id text not null,
  asset text not null,
  side text not null,
  amount_centavos bigint not null,
  quantity bigint not null,
  filled_quantity bigint,
  fill_price_centavos bigint,
  state text not null,
  reason text,
  -- An event that is older than what is here changes nothing.
  version integer not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint order_views_pkey primary key (order_id)
) with (fillfactor = 70);
create index order_views_account on order_views (account_id, order_id);
