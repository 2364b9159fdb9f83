-- When an order whose time is up was last looked at. What nobody has looked at for too long, `watch-orders.ts` finds. Adding a
-- column that may be null rewrites nothing and blocks writers for an instant only.

alter table orders add column looked_at timestamptz;
