create role orders_api login;
grant usage on schema malote to orders_api;
grant select, insert, update, delete on malote.idempotency_keys to orders_api;
alter table malote.idempotency_keys enable row level security;
create policy one_tenant on malote.idempotency_keys to orders_api
  using (tenant_id = current_setting('app.tenant'))
  with check (tenant_id = current_setting('app.tenant'));
