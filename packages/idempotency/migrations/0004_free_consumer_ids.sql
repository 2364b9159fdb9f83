-- Gives a new consumer a free number instead of the next one of a sequence. A sequence never takes a number back: each first
-- delivery that was rolled back used one up, and after 32,767 of them no new consumer could begin. Inboxes that are there
-- already are mended: the numbers that no consumer holds are free again. Takes an exclusive lock on this small table for an
-- instant and reads no other.
-- Runs with search_path set to the schema Malote lives in.

-- At random, so that two consumers that begin at once do not meet on one number and wait for each other.
create function free_consumer_id() returns smallint
language sql volatile
begin atomic
  select drawn.id from (
    select (floor(random() * 65536) - 32768)::smallint as id from generate_series(1, 64)) as drawn
  where not exists (select from inbox_consumers as taken where taken.id = drawn.id)
  limit 1;
end;

alter table inbox_consumers alter column id drop identity;
alter table inbox_consumers alter column id set default free_consumer_id();
