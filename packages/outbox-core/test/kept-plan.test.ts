import { expect, it } from 'vitest'
import type { Connection } from '../src/postgres/connections.ts'
import { createKeptPlans, type PlannedRead } from '../src/postgres/kept-plan.ts'

const few: PlannedRead = { name: 'read', text: 'select', values: [], knownCount: 100, streams: ['{}', '{}'] }
const topics = (count: number): string[] => Array.from({ length: count }, (_, at) => String(at))

it.each<[string, boolean, PlannedRead, 'kept' | 'anew']>([
  ['few known messages and nothing left out', true, few, 'kept'],
  ['many known messages', true, { ...few, knownCount: 101 }, 'anew'],
  ['a stream that is left out', true, { ...few, streams: ['{}', '{"t k"}'] }, 'anew'],
  ['a few suspended topics', true, { ...few, topics: topics(20) }, 'kept'],
  ['many suspended topics', true, { ...few, topics: topics(21) }, 'anew'],
  ['a connection that is no session', false, few, 'anew'],
])('with %s a read is planned as it costs least', async (_case, isSession, read, plan) => {
  const connection = {
    query: () => Promise.resolve({ rows: ['anew'] }),
    queryPrepared: () => Promise.resolve({ rows: ['kept'] }),
  } as unknown as Connection

  expect(await createKeptPlans(connection, isSession)(read)).toEqual([plan])
})
