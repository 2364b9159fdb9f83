import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { batchOn, brief, createNotes, type Deed, noteAll, notesIn } from './batch-callers.ts'
import type { Answer } from './callers.ts'
import { gate } from './gates.ts'
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

describe('a batch that goes wrong', () => {
  it('because its connection was lost answers each with 503 at once, and the retries run', async () => {
    let isFirst = true
    const { calls, post, outcomes } = batchOn(pool, async (call) => {
      const answers = await noteAll(call)
      const { rows } = await call.tx.query('select pg_backend_pid() as pid')
      if (isFirst) await pool.query('select pg_terminate_backend($1)', [rows[0].pid])
      isFirst = false
      await call.tx.query('select 1')
      return answers
    })
    const all = () => Promise.all(['a', 'b', 'c'].map((name) => post(name)))

    expect((await all()).map(({ status }) => status)).toEqual([503, 503, 503])
    expect([calls.length, await notesIn(pool), outcomes()]).toEqual([1, [], Array(3).fill('unavailable')])
    expect((await all()).map(brief)).toEqual(['201 a', '201 b', '201 c'])
  })

  it.each([true, false])(
    'at its COMMIT answers each with 503, and the retries find out (it had committed: %s)',
    async (committed) => {
      const single = database.pool({ max: 1 })
      single.on('connect', (client) => {
        const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
        Object.assign(client, {
          query: async (text: string, values?: unknown[]) => {
            if (!text.endsWith('; commit')) return query(text, values)
            await query(committed ? text : 'rollback')
            throw new Error('Connection terminated unexpectedly')
          },
        })
      })
      const names = ['a', 'b', 'c']

      const lost = await Promise.all(names.map((name) => batchOn(single).post(name)))
      const { calls, post } = batchOn(pool)
      const retries = await Promise.all(names.map((name) => post(name)))

      expect(lost.map(({ status, text }) => [status, text.includes('commit-unknown')])).toEqual(
        Array.from(lost, () => [503, true]),
      )
      expect(retries.map(brief)).toEqual(names.map((name) => `201 ${name}${committed ? ' again' : ''}`))
      expect([calls.length, await notesIn(pool)]).toEqual([committed ? 0 : 1, names])
    },
  )

  it('because its handler overran answers each with 503 and loses its connection; the next batch runs', async () => {
    const small = database.pool({ max: 1 })
    const slow = batchOn(
      small,
      async (call) => {
        await noteAll(call)
        return new Promise(() => {})
      },
      { timeoutMs: 100 },
    )

    const late = await Promise.all([slow.post('a'), slow.post('b')])

    expect(slow.calls).toEqual([['a', 'b']])
    expect(late.map(({ status, text }) => [status, text.includes('timed-out')])).toEqual(
      Array.from(late, () => [503, true]),
    )
    const { post } = batchOn(small, undefined, { waitMs: 5_000 })
    expect((await Promise.all([post('a'), post('b')])).map(brief)).toEqual(['201 a', '201 b'])
    expect(await notesIn(pool)).toEqual(['a', 'b'])
  })

  it('because its handler ended the transaction is nobody’s success, and is not tried again', async () => {
    const { calls, post } = batchOn(pool, async (call) => {
      await call.tx.query('rollback; begin')
      return noteAll(call)
    })

    const answers = await Promise.allSettled(['a', 'b', 'c'].map((name) => post(name)))

    expect(settled(answers)).toEqual(Array(3).fill('NOT_A_TRANSACTION'))
    expect([calls.length, await notesIn(pool), await keys()]).toEqual([1, [], 0])
  })

  it('because its handler committed for one of them concerns those before it in the transaction, and the others run', async () => {
    const { calls, post } = batchOn(pool, async (call) => {
      const answers = await noteAll({ ...call, requests: call.requests.map((one) => ({ ...one, does: 'order' })) })
      const bad = call.requests.some((request) => (request as { does?: Deed }).does === 'throw')
      if (bad && call.requests.length === 1) await call.tx.query('commit')
      if (bad) throw new Error('the bad one')
      return answers
    })
    const all = () =>
      Promise.allSettled(['a', 'bad', 'c', 'd'].map((name) => post(name, name === 'bad' ? 'throw' : 'order')))

    expect(settled(await all())).toEqual(['NOT_A_TRANSACTION', 'NOT_A_TRANSACTION', '201 c', '201 d'])
    expect([calls, await notesIn(pool), await keys()]).toEqual([
      [['a', 'bad', 'c', 'd'], ['a', 'bad'], ['a'], ['bad'], ['c', 'd']],
      ['a', 'bad', 'c', 'd'],
      4,
    ])
    expect((await all()).map((one) => one.status === 'fulfilled' && one.value.status)).toEqual([409, 409, 201, 201])
  })

  it('in the transaction of one half leaves the other half its own', async () => {
    const { post } = batchOn(pool, async (call) => {
      const answers = await noteAll(call)
      if (call.requests.length === 1 && (call.requests[0] as { name?: string }).name === 'a')
        await call.tx.query('commit')
      return answers
    })

    const answers = await Promise.allSettled([post('a'), post('bad', 'break the commit'), post('c')])

    expect(settled(answers)).toEqual(['NOT_A_TRANSACTION', '23503', '201 c'])
    expect(await notesIn(pool)).toEqual(['a', 'c'])
  })

  it('at the COMMIT of one half tells the other half, which was not tried, that nothing was done', async () => {
    const single = database.pool({ max: 1 })
    let commits = 0
    single.on('connect', (client) => {
      const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
      Object.assign(client, {
        query: async (text: string, values?: unknown[]) => {
          if (!text.endsWith('; commit') || ++commits === 1) return query(text, values)
          await query(text)
          throw new Error('Connection terminated unexpectedly')
        },
      })
    })
    const { post } = batchOn(single)

    const answers = await Promise.all([post('a'), post('b', 'break the commit')])

    expect(answers.map(({ status, text }) => [status, (JSON.parse(text) as { code: string }).code])).toEqual([
      [503, 'commit-unknown'],
      [503, 'store-unavailable'],
    ])
    expect(await notesIn(pool)).toEqual(['a'])
  })

  it('because of a deadlock with another batch is run again, whole', async () => {
    await pool.query('create table accounts (id int primary key); insert into accounts values (1), (2)')
    const both = [gate(), gate()]
    const lock = (at: 0 | 1) => {
      let isFirst = true
      return batchOn(pool, async (call) => {
        // Run again it begins with what the other holds: in the order of before it could be there before the other has woken up, and
        // there would be a second deadlock.
        const order = isFirst === (at === 0) ? [1, 2] : [2, 1]
        await call.tx.query('select from accounts where id = $1 for update', [order[0]])
        both[at]?.open()
        if (isFirst) await both[1 - at]?.passed
        isFirst = false
        await call.tx.query('select from accounts where id = $1 for update', [order[1]])
        return noteAll(call)
      })
    }
    const [one, other] = [lock(0), lock(1)]

    const answers = await Promise.all([one.post('a'), one.post('b'), other.post('c'), other.post('d')])

    expect(answers.map(brief)).toEqual(['201 a', '201 b', '201 c', '201 d'])
    expect([one.calls.length + other.calls.length, (await notesIn(pool)).sort()]).toEqual([3, ['a', 'b', 'c', 'd']])
  })

  it('never is one because of its keys: two that write for the same tenants do so in one order', async () => {
    const errors: unknown[] = []
    const noting = database.pool()
    noting.on('connect', (client) => {
      const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
      const noted = (text: string, values?: unknown[]) =>
        query(text, values).catch((error: unknown) => {
          errors.push(error)
          throw error
        })
      Object.assign(client, { query: noted })
    })
    const [one, other] = [1, 2].map(() => batchOn(noting, noteAll, {}, { maxKeysPerTenant: 1_000 })) as [
      ReturnType<typeof batchOn>,
      ReturnType<typeof batchOn>,
    ]
    const tenants = Array.from({ length: 16 }, (_, at) => `tenant ${String(at)}`)

    for (let round = 0; round < 20; round++) {
      const name = (who: string, tenant: string) => `${who} ${String(round)} ${tenant}`
      const answers = await Promise.all([
        ...tenants.map((tenant) => one.post(name('one', tenant), 'order', { tenant })),
        ...tenants.toReversed().map((tenant) => other.post(name('other', tenant), 'order', { tenant })),
      ])
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
    }

    expect([one.calls.length, other.calls.length, errors]).toEqual([20, 20, []])
  })
})
