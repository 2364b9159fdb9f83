-- Accounts, their ledger, their orders, and what each consumer keeps. Only creates objects, so it blocks no writer.
-- Runs with search_path set to the brokerage's schema.

create table accounts (
  account_id text not null,
  holder text not null,
  -- SHA-256 of the bearer token, never the token. Null: nobody signs in with this account.
  token_hash bytea,
  -- Antifraud: no single order above this.
  order_limit_centavos bigint not null,
  constraint accounts_pkey primary key (account_id),
  constraint accounts_token_hash_key unique (token_hash),
  constraint order_limit_is_not_negative check (order_limit_centavos >= 0)
);

-- Double entry, in integer centavos. Money only ever moves between two ledger accounts.
create table ledger_accounts (
  account_id text not null references accounts,
  -- cash and holding are free to use; *_reserved waits for the exchange; opening is where the seed money came from.
  kind text not null,
  -- BRL for cash, the ticker for holdings. Orders are placed by amount, so holdings are kept at the amount paid.
  asset text not null,
  -- Always the sum of the entries: written by a trigger, by nobody else.
  balance_centavos bigint not null default 0,
  constraint ledger_accounts_pkey primary key (account_id, kind, asset),
  constraint kind_is_known check (kind in ('cash', 'cash_reserved', 'holding', 'holding_reserved', 'opening')),
  constraint cash_is_in_brl check ((kind in ('cash', 'cash_reserved', 'opening')) = (asset = 'BRL')),
  constraint balance_is_not_negative check (balance_centavos >= 0 or kind = 'opening')
);

create table ledger_transactions (
  transaction_id uuid not null default gen_random_uuid(),
  order_id uuid,
  reason text not null,
  posted_at timestamptz not null default clock_timestamp(),
  constraint ledger_transactions_pkey primary key (transaction_id),
  constraint reason_is_known check (reason in ('opening', 'reservation', 'settlement', 'compensation')),
  constraint order_iff_not_opening check ((order_id is null) = (reason = 'opening'))
);
-- The last line of defence behind the inbox: an order is reserved once, and settled or compensated once.
create unique index order_is_reserved_once on ledger_transactions (order_id) where reason = 'reservation';
create unique index order_is_closed_once on ledger_transactions (order_id) where reason in ('settlement', 'compensation');

create table ledger_entries (
  entry_id bigint not null generated always as identity,
  transaction_id uuid not null references ledger_transactions,
  account_id text not null,
  kind text not null,
  asset text not null,
  amount_centavos bigint not null,
  constraint ledger_entries_pkey primary key (entry_id),
  constraint ledger_entries_account_fkey foreign key (account_id, kind, asset) references ledger_accounts,
  constraint amount_is_not_zero check (amount_centavos <> 0)
);
create index ledger_entries_transaction on ledger_entries (transaction_id);

create function apply_ledger_entry() returns trigger language plpgsql set search_path from current as $$
begin
  update ledger_accounts
  set balance_centavos = balance_centavos + new.amount_centavos
  where account_id = new.account_id and kind = new.kind and asset = new.asset;
  return null;
end $$;
create trigger entry_moves_balance after insert on ledger_entries
  for each row execute function apply_ledger_entry();

create function refuse_ledger_change() returns trigger language plpgsql as $$
begin
  raise exception 'ledger entries are never changed: post a transaction that reverses them'
    using errcode = 'restrict_violation';
end $$;
create trigger entries_are_immutable before update or delete on ledger_entries
  for each row execute function refuse_ledger_change();

-- Judged at commit, when all entries of the transaction are there.
create function check_ledger_transaction() returns trigger language plpgsql set search_path from current as $$
declare
  total bigint;
begin
  select sum(amount_centavos) into total from ledger_entries where transaction_id = new.transaction_id;
  if total is distinct from 0 then
    raise exception 'ledger transaction % sums to % centavos, not to zero', new.transaction_id, coalesce(total::text, 'nothing')
      using errcode = 'check_violation', constraint = 'ledger_transaction_sums_to_zero';
  end if;
  return null;
end $$;
create constraint trigger transaction_sums_to_zero after insert on ledger_transactions
  deferrable initially deferred for each row execute function check_ledger_transaction();
create constraint trigger entries_sum_to_zero after insert on ledger_entries
  deferrable initially deferred for each row execute function check_ledger_transaction();

create table orders (
  order_id uuid not null,
  account_id text not null references accounts,
  asset text not null,
  side text not null,
  amount_centavos bigint not null,
  status text not null default 'accepted',
  -- Why it did not fill, in the exchange's words.
  reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint orders_pkey primary key (order_id),
  constraint side_is_known check (side in ('BUY', 'SELL')),
  constraint amount_is_positive check (amount_centavos > 0),
  constraint status_is_known check (status in ('accepted', 'sent', 'filled', 'rejected', 'settled', 'compensated', 'cancelled'))
);
create index orders_account on orders (account_id, order_id);

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
  event text not null,
  happened_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp()
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
