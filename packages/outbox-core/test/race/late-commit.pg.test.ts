import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import type { BufferedMessage } from '../../src/relay/buffered-message.ts'
import { createRelayBench, type RelayBench } from '../relay-bench.ts'
import { createSteppedRelay, insert, type SteppedRelay } from './stepped-relay.ts'

/*
 * 1 is drawn and stays open. 2, of the same key but not serialised behind it, is committed, read and fails: the key is
 * blocked from 2 on. Now 1 commits, and 3 behind it. Reads leave out all of the key, and the floor passes 1 and 3.
 * When 2 is through, reading again from 2 on would find 3 and not 1.
 */
let bench: RelayBench
let relay: SteppedRelay
const open: pg.Client[] = []

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end()))
  relay.connections.destroy()
  await bench.reset()
})
afterAll(() => bench.database.drop())

async function begun(): Promise<pg.Client> {
  const client = await bench.database.client()
  await client.query('begin')
  open.push(client)
  return client
}

/** The message of the key that was sent fails: it comes again at once, or an operator has to decide. */
async function fail(batch: readonly BufferedMessage[], end: 'retry' | 'bury'): Promise<void> {
  const failure = { kind: 'permanent', code: 'NOPE', message: '' } as const
  relay.backlog.end(batch, { failed: batch, returned: [] })
  if (end === 'retry') relay.settler.retry(batch.map((message) => ({ message, failure, delayMs: 0 })))
  else relay.settler.bury(batch.map((message) => ({ message, failure, reason: 'PERMANENT', isKeyHeld: true })))
  await relay.settler.idle()
  await relay.reader.loadBlocks()
}

describe('what commits late, below the message that blocks its key, is neither lost nor overtaken when', () => {
  it.each(['retry', 'bury'] as const)('that message meets its end by %s', async (end) => {
    relay = await createSteppedRelay(bench.as.relay)
    const writer = await begun()
    await insert(writer, 'one', 'a')
    await insert(bench.pool, 'two', 'a')
    await relay.reader.read()
    await relay.reader.barrier()
    await fail(relay.backlog.take(10), end)

    await writer.query('commit')
    await insert(bench.pool, 'three', 'a')
    for (let round = 0; round < 3; round++) expect(await relay.step()).toEqual([])
    const drawn = (await bench.pool.query('select max(seq)::integer as seq from malote.messages')).rows[0].seq
    expect(relay.lanes.numbers().map((lane) => relay.floor.of(lane))).toEqual(Array(64).fill(drawn))
    if (end === 'bury') await bench.pool.query('delete from malote.held_keys')
    await relay.reader.readWaiting()

    expect(await relay.publishAll()).toEqual(end === 'retry' ? ['two'] : [])
    await relay.reader.loadBlocks()
    expect(await relay.step()).toEqual(['one', 'three'])
    expect(await relay.reader.findMissed(() => true)).toBe(0)
  })
})
