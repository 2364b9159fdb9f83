-- PostgreSQL leaves the indexes alone when an update changes no column that one of them depends on. The index of open orders depended on
-- `state`, so each step of an order wrote it into all three indexes anew. It depends on `is_open` now, which changes at the end only.
-- Adding a stored column rewrites the table and blocks its readers and writers meanwhile: in a busy place, do it at a quiet hour.

alter table orders add column is_open boolean not null
  generated always as (state not in ('SETTLED', 'COMPENSATED', 'CANCELLED')) stored;
drop index orders_open;
create index orders_open on orders (created_at) where is_open;
