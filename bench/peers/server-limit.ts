import type { BenchDatabase } from '../harness/server.ts'
import { fillMessages } from './malote.ts'
import { serverRate } from './pgbench.ts'

const batchSize = 500
const workers = 2

/** Claim and delete in one statement: what a relay would do that published nothing, ordered nothing and never failed. */
const claimAndDelete = `
  with claimed as materialized (
    select lane, seq from malote.messages order by lane, seq limit ${String(batchSize)} for update skip locked
  )
  delete from malote.messages as message using claimed
  where message.lane = claimed.lane and message.seq = claimed.seq
  returning message.lane, message.seq, message.id, message.topic, message.type, message.ordering_key, message.payload,
    message.content_type, message.headers, message.created_at, message.attempts`

/** Messages per second of the server itself, with the same table, batch and durability as the relay. */
export async function drainWithServer(database: BenchDatabase, count: number): Promise<number> {
  await database.admin.query('truncate malote.messages')
  await fillMessages(database, count)
  await database.admin.query('vacuum analyze malote.messages')
  const transactions = Math.floor(count / batchSize / workers)
  const tps = await serverRate({ url: database.url, statements: [claimAndDelete], clients: workers, transactions })
  return tps * batchSize
}
