import { readdirSync, readFileSync } from 'node:fs'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createInbox } from '../src/index.ts'
import { gate, withoutWaiting } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
})
afterAll(() => database.drop())

const inbox = createInbox()
const nothing = () => Promise.resolve()
const fail = () => Promise.reject(new Error('the handler is broken'))
const message = (consumer: string) => ({ consumer, messageId: '0198b1a0-0000-7000-8000-000000000001' })

/** As many rolled-back first deliveries as it takes to use up every number of a `smallint` sequence. */
async function failFirstDeliveries(schema: string): Promise<void> {
  await database.owner.query(`do $$ begin
    for delivery in 1..33500 loop
      begin
        insert into ${schema}.inbox_consumers (name) values ('broken');
        raise exception 'the handler is broken' using errcode = 'ML001';
      exception when sqlstate 'ML001' then null;
      end;
    end loop;
  end $$`)
}

/** The tables as the releases before left them, in a schema of their own. */
async function tablesOfReleaseBefore(schema: string): Promise<void> {
  const client = await database.owner.connect()
  const folder = new URL('../migrations/', import.meta.url)
  await client.query(`create schema ${schema}; set search_path to ${schema}`)
  for (const name of readdirSync(folder).filter((file) => file < '0004'))
    await client.query(readFileSync(new URL(name, folder), 'utf8'))
  client.release(true)
}

describe('a consumer that fails its first delivery', () => {
  it('can fail 33,500 times without using up what other consumers need', async () => {
    // The same as failing that often, if there is a sequence.
    await pool.query(`select setval(pg_get_serial_sequence('malote.inbox_consumers', 'id'), 32767)`)

    await expect(inbox.transact(pool, message('broken'), fail)).rejects.toThrow('the handler is broken')
    expect(await inbox.transact(pool, message('a new one'), nothing)).toBe('processed')
    expect(await inbox.transact(pool, message('broken'), nothing)).toBe('processed')
  })

  it('keeps no other new consumer waiting', async () => {
    const opened = gate()
    const entered = gate()
    const slow = inbox.transact(pool, message('slow'), async () => {
      entered.open()
      await opened.passed
    })
    await entered.passed

    expect(await withoutWaiting(pool, inbox.transact(pool, message('quick'), nothing))).toBe('processed')
    opened.open()
    expect(await slow).toBe('processed')
  })
})

describe('the upgrade', () => {
  it('mends an inbox whose numbers are used up, and keeps what its consumers have applied', async () => {
    await tablesOfReleaseBefore('burnt')
    await database.owner.query(`insert into burnt.inbox_consumers (name) values ('old')`)
    await database.owner.query(
      `insert into burnt.processed_messages (consumer_id, message_id) select id, $1 from burnt.inbox_consumers`,
      [message('old').messageId],
    )
    await expect(failFirstDeliveries('burnt')).rejects.toMatchObject({ code: '2200H' })

    const client = await database.owner.connect()
    await client.query('set search_path to burnt')
    for (const name of [
      '0004_free_consumer_ids.sql',
      '0006_claim_messages_functions.sql',
      '0007_claim_message_procedures.sql',
    ])
      await client.query(readFileSync(new URL(`../migrations/${name}`, import.meta.url), 'utf8'))

    client.release(true)

    const mended = createInbox({ schema: 'burnt' })
    expect(await mended.transact(database.owner, message('new'), nothing)).toBe('processed')
    expect(await mended.transact(database.owner, message('old'), fail)).toBe('duplicate')
  })
})
