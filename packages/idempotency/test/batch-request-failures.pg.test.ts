import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { batchOn, brief, createNotes, type Deed, keyOf, noteAll, notesIn } from './batch-callers.ts'
import { alice, type Answer, idempotencyOn, send } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createNotes)
})
beforeEach(() => database.truncate('notes, malote.idempotency_keys'))
afterAll(() => database.drop())

const keys = async () => (await pool.query('select * from malote.idempotency_keys')).rowCount
const settled = (answers: PromiseSettledResult<Answer>[]) =>
  answers.map((answer) => (answer.status === 'fulfilled' ? brief(answer.value) : String(answer.reason.code)))

describe('one request that goes wrong', () => {
  it.each([
    ['refuse', '422 bad', '422 bad again', 8],
    ['fail', '500 bad', '500 bad', 7],
    ['throw', '23514', '23514', 7],
    ['break the commit', '23503', '23503', 7],
    ['spoil the response', 'INVALID_RESPONSE', 'INVALID_RESPONSE', 7],
  ] as const)('does so alone, and the others keep their order: %s', async (does, first, second, stored) => {
    const { post } = batchOn(pool)
    const names = ['a', 'b', 'c', 'bad', 'd', 'e', 'f', 'g']
    const all = () => Promise.allSettled(names.map((name) => post(name, name === 'bad' ? does : 'order')))
    const expected = (bad: string, again: string) => names.map((name) => (name === 'bad' ? bad : `201 ${name}${again}`))

    expect(settled(await all())).toEqual(expected(first, ''))
    expect([await notesIn(pool), await keys()]).toEqual([['a', 'b', 'c', 'd', 'e', 'f', 'g'], stored])
    expect(settled(await all())).toEqual(expected(second, ' again'))
  })

  it('is found with few calls: those that answered are run again without it, those of a throw are halved', async () => {
    const names = Array.from({ length: 16 }, (_, at) => String(at))
    const run = async (does: Deed) => {
      await database.owner.query('truncate notes, malote.idempotency_keys')
      const { calls, post } = batchOn(pool)
      await Promise.allSettled(names.map((name) => post(name, name === '5' ? does : 'order')))
      return calls.map((call) => call.length)
    }

    expect(await run('refuse')).toEqual([16, 5, 1, 10])
    expect(await run('throw')).toEqual([16, 8, 4, 4, 2, 1, 1, 2, 8])
  })

  it('keeps what it did when it says so, without a second call', async () => {
    const { calls, post } = batchOn(pool, async (call) =>
      (await noteAll(call)).map((response) => ({ ...response, effects: 'keep' })),
    )

    const answers = await Promise.all([post('a'), post('no', 'refuse')])

    expect([answers.map(brief), await notesIn(pool), calls.length]).toEqual([['201 a', '422 no'], ['a', 'no'], 1])
  })

  it('looks like an outage and is none: its error is the application’s, and the others are answered', async () => {
    const { post } = batchOn(pool, (call) => {
      if (call.requests.some((request) => (request as { does?: Deed }).does === 'throw'))
        throw Object.assign(new Error('a foreign system'), { code: 'ECONNREFUSED' })
      return noteAll(call)
    })

    const answers = await Promise.allSettled([post('a'), post('bad', 'throw'), post('b')])

    expect(settled(answers)).toEqual(['201 a', 'ECONNREFUSED', '201 b'])
  })

  it('finds its key written by somebody who takes no lock: it meets that, and the others run', async () => {
    const lease = idempotencyOn(pool).lease({ operation: 'note' }, () =>
      Promise.resolve({ status: 200, body: 'lease' }),
    )
    let isFirst = true
    const { post } = batchOn(pool, async (call) => {
      if (isFirst) await send(lease, { key: keyOf('b'), body: { name: 'b' }, caller: alice })
      isFirst = false
      return noteAll(call)
    })

    const answers = await Promise.all([post('a'), post('b'), post('c')])

    expect(answers.map(brief)).toEqual(['201 a', '200 lease again', '201 c'])
    expect(await notesIn(pool)).toEqual(['a', 'c'])
  })

  it('is one key too many: exactly those are told', async () => {
    const { post } = batchOn(pool, noteAll, {}, { maxKeysPerTenant: 3 })

    const answers = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => post(name)))

    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 201, 201, 429, 429])
    expect([(await notesIn(pool)).length, await keys()]).toEqual([3, 3])
  })

  it('too few answers are nobody’s answers', async () => {
    const { post } = batchOn(pool, async (call) => (await noteAll(call)).slice(0, 2))

    const answers = await Promise.all(['a', 'b', 'c'].map((name) => post(name)))

    expect(answers.map(brief)).toEqual(['201 a', '201 b', '201 c'])
    expect(await notesIn(pool)).toEqual(['a', 'b', 'c'])
  })

  it('no answer at all is an error for each', async () => {
    const { post } = batchOn(pool, () => Promise.resolve([]))

    const answers = await Promise.allSettled(['a', 'b'].map((name) => post(name)))

    expect([settled(answers), await keys()]).toEqual([['INVALID_RESPONSE', 'INVALID_RESPONSE'], 0])
  })
})
