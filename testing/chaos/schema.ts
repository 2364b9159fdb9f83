import { readFileSync } from 'node:fs'
import type pg from 'pg'
import { nowMs } from './journal.ts'
import { migrate, migrateIdempotency } from './library.ts'

/**
 * What the runner keeps beside the library's tables: the writers' ledger with its own place per key, the consumers' effects
 * (deliberately without a unique constraint: a second application must be visible), every change of a lane's owner, and a
 * switch that makes the disk look full.
 */
const chaosTables = `
  create table chaos.keys (key text primary key, place bigint not null default 0);
  create table chaos.ledger (
    id uuid primary key, key text, place bigint not null, doomed boolean not null, refused boolean not null default false,
    lane smallint not null generated always as ((hashtextextended(coalesce(key, id::text) collate "C", 0) & 63)::smallint) stored,
    begun_at_ms double precision, at timestamptz not null default chaos.now());
  create table chaos.effects (n bigint generated always as identity primary key, consumer text not null, id uuid not null);
  create table chaos.ownership (
    n bigint generated always as identity primary key, lane smallint not null, was text, now text, fence bigint not null,
    by text not null default current_setting('application_name'), at timestamptz not null default chaos.now());
  create function chaos.note_owner() returns trigger language plpgsql as $$
    begin
      insert into chaos.ownership (lane, was, now, fence) values (new.lane,
        coalesce((select name from malote.relays where id = old.owner), old.owner::text),
        (select name from malote.relays where id = new.owner), new.fence);
      return null;
    end $$;
  create trigger note_owner after update on malote.lanes for each row
    when (old.owner is distinct from new.owner) execute function chaos.note_owner();
  create table chaos.disk (is_full boolean not null);
  insert into chaos.disk values (false);
  create function chaos.fail_when_full() returns trigger language plpgsql as $$
    begin
      if (select is_full from chaos.disk) then
        raise exception 'could not extend file: No space left on device' using errcode = '53100';
      end if;
      return null;
    end $$;
  create trigger fail_when_full before insert or update or delete on malote.messages
    for each statement execute function chaos.fail_when_full();`

/**
 * The time by which the runner's own tables tell: that of the database's clock, or, where that clock is moved, what the kernel has
 * counted since its start.
 */
const chaosClock = (bootedAtS: number | null): string => `
  create schema chaos;
  create function chaos.now() returns timestamptz language plpgsql volatile as $$
    begin
      return ${
        bootedAtS === null
          ? 'clock_timestamp()'
          : `to_timestamp(${String(bootedAtS)} + split_part(pg_read_file('/proc/uptime'), ' ', 1)::float8)`
      };
    end $$;`

const uptimeS = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])

/** @param isClockMoved - whether the database's clock may be wrong */
export async function createSchema(pool: pg.Pool, keys: readonly string[], isClockMoved: boolean): Promise<void> {
  await migrate(pool)
  await migrateIdempotency(pool)
  await pool.query(chaosClock(isClockMoved ? nowMs() / 1_000 - uptimeS() : null))
  await pool.query(chaosTables)
  await pool.query('insert into chaos.keys (key) select unnest($1::text[])', [keys])
}
