import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { payload, topic, type } from '../harness/load.ts'

/** The plain insert into our own table that a user without Malote would write: no doorbell, no checks. */
const insertOne = `
  insert into malote.messages (id, topic, type, ordering_key, payload, content_type)
  values ($1, $2, $3, $4, $5, 'application/json')`

export async function rawInsertOne(client: pg.ClientBase, orderingKey: string | null): Promise<void> {
  await client.query(insertOne, [randomUUID(), topic, type, orderingKey, JSON.stringify(payload)])
}

/** The least that an outbox in a table can be: what a message needs, in the order it was written, and nothing that guards it. */
export async function createPlainestTable(pool: pg.Pool): Promise<void> {
  await pool.query(`
    create table plainest (
      seq bigint generated always as identity primary key, id uuid not null, topic text not null, type text not null,
      ordering_key text, payload text not null, content_type text not null, created_at timestamptz not null default now())`)
}

/** One row of it, to stand behind a `with`. */
export function plainestStatement(
  orderingKey: string | null,
  firstParameter: number,
): { readonly text: string; readonly values: readonly unknown[] } {
  const parameters = Array.from({ length: 5 }, (_, at) => `$${String(firstParameter + at)}`)
  return {
    text: `insert into plainest (id, topic, type, ordering_key, payload, content_type) values (${parameters.join(', ')}, 'application/json')`,
    values: [randomUUID(), topic, type, orderingKey, JSON.stringify(payload)],
  }
}

/** The fastest plain statement for many rows (COPY aside), with the work any caller has to do: an id and the JSON of each. */
const insertMany = `
  insert into malote.messages (id, topic, type, ordering_key, payload, content_type)
  select id, topic, type, ordering_key, payload, content_type
  from jsonb_to_recordset($1::jsonb) as m (id uuid, topic text, type text, ordering_key text, payload text, content_type text)`

export async function rawInsertMany(client: pg.ClientBase, orderingKeys: readonly string[]): Promise<void> {
  const rows = orderingKeys.map((ordering_key) => ({
    id: randomUUID(),
    topic,
    type,
    ordering_key,
    payload: JSON.stringify(payload),
    content_type: 'application/json',
  }))
  await client.query(insertMany, [JSON.stringify(rows)])
}
