-- Moving a balance no longer begins with an insert that nearly always conflicts: only pockets that do not exist yet are made. Replaces a
-- function, so it blocks nobody.

create or replace function apply_ledger_movements() returns trigger language plpgsql set search_path from current as $$
begin
  insert into balances (account_id, kind, asset, amount)
  select gain.account_id, gain.kind, gain.asset, 0
  from (select distinct to_account, to_kind, asset from moved where to_account is not null) as gain (account_id, kind, asset)
  where not exists (
    select from balances as balance
    where (balance.account_id, balance.kind, balance.asset) = (gain.account_id, gain.kind, gain.asset))
  order by 1, 2, 3
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
