import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { laneReadTexts } from '../src/postgres/lane-reads.ts'
import { membershipTexts } from '../src/postgres/membership.ts'
import { messageReadTexts } from '../src/postgres/message-reads.ts'
import { settleTexts } from '../src/postgres/settles.ts'
import { writerStatements } from '../src/postgres/statements.ts'
import { createRelayBench, type RelayBench } from './relay-bench.ts'

const reads = { ...messageReadTexts('malote'), ...laneReadTexts('malote') }
const settles = settleTexts('malote', true)
const id = '00000000-0000-4000-8000-000000000000'
const relay = id
/** As many as the settler puts into one statement. */
const failures = Array.from({ length: 5_000 }, (_, n) => n)
const each = <Value>(value: Value): Value[] => failures.map(() => value)
const lanes = Array.from({ length: 64 }, (_, lane) => lane)
const identities = [failures.map((n) => n % 64), failures, each(id)]
const retried = [each(100), each('CODE'), each('words')]
const buried = [each('PERMANENT'), each('CODE'), each('words'), each(true)]

/** What a relay sends all the time, with the parameters of a full batch. */
const cases: readonly [name: string, text: string, values: readonly unknown[]][] = [
  ['read', reads.ready, [lanes, lanes, lanes.map(() => 64), lanes.map(() => 100_000), failures, [], 1_000_000, [], 10]],
  ['readWaiting', reads.waiting, [lanes, [], failures, 500, 1_000_000, 1_000_000, true, [], 10]],
  ['loadBlocks', reads.blocks, [lanes, failures]],
  ['findMissed', reads.missed, [lanes, lanes.map(() => 0), failures, [], []]],
  ['readSamples', reads.samples, [lanes, ['t'], failures, [], [], 4, 1_000_000, 10]],
  ['look', membershipTexts('malote').look, [relay, lanes, 201, true]],
  ['deletePublished', settles.deletePublished, identities],
  ['scheduleRetries', settles.scheduleRetries, [relay, lanes, lanes, ...identities, ...retried]],
  ['buryDead', settles.buryDead, [relay, lanes, lanes, ...identities, ...buried]],
]

let bench: RelayBench
beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterAll(() => bench.database.drop())

interface Plan {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly Plans?: readonly Plan[]
}

/** Names of the tables that the plan reads from one end to the other. */
function scanned(plan: Plan): string[] {
  const own = plan['Node Type'] === 'Seq Scan' ? [plan['Relation Name'] ?? ''] : []
  return [...own, ...(plan.Plans ?? []).flatMap(scanned)]
}

async function tablesScannedBy(text: string, values: readonly unknown[]): Promise<string[]> {
  const { rows } = await bench.pool.query(`explain (format json) ${text}`, [...values])
  return scanned((rows as { 'QUERY PLAN': [{ Plan: Plan }] }[])[0]?.['QUERY PLAN'][0].Plan as Plan)
}

const fill = (): Promise<unknown> =>
  bench.pool.query(
    `insert into malote.messages (topic, type, payload) select 't', 'x', '{"n":1}' from generate_series(1, 20000)`,
  )

describe.each([
  [
    'analyzed while it was empty',
    async () => {
      await bench.pool.query('vacuum analyze malote.messages')
      await fill()
    },
  ],
  [
    'analyzed with its backlog',
    async () => {
      await fill()
      await bench.pool.query('vacuum analyze malote.messages')
    },
  ],
])('with 20,000 messages in a table that was %s', (_, prepare) => {
  beforeAll(async () => {
    await bench.reset()
    await prepare()
  })

  it.each(cases)('the statement %s does not read the whole table', async (_name, text, values) => {
    expect(await tablesScannedBy(text, values)).not.toContain('messages')
  })
})

it('cancelling among 20,000 scheduled messages does not read them all', async () => {
  await bench.reset()
  await bench.pool.query(
    `insert into malote.scheduled_messages (available_at, topic, type, payload)
     select now() + interval '1 hour', 't', 'x', '{}' from generate_series(1, 20000)`,
  )
  const { cancelScheduledMessages } = writerStatements('malote')

  expect(await tablesScannedBy(cancelScheduledMessages, [`{${id},${id}}`])).toEqual([])
})
