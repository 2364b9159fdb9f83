import { propertyRuns } from '@malote/testing/property-scale'
import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { type BatchUnderTest, batchOn, brief, createNotes, type Deed, noteAll, notesIn } from './batch-callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createNotes)
})
afterAll(() => database.drop())

/** Requests that are sent at once, by either of two processes, under few keys. In some waves a backend is killed. */
const waves = fc.array(
  fc.record({
    sent: fc.array(
      fc.record({
        process: fc.constantFrom(0 as const, 1 as const),
        key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
        does: fc.oneof(
          { weight: 3, arbitrary: fc.constant<Deed>('order') },
          fc.constantFrom<Deed>('refuse', 'fail', 'throw', 'break the commit', 'spoil the response'),
        ),
      }),
      { minLength: 1, maxLength: 12 },
    ),
    isKilled: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
  }),
  { minLength: 1, maxLength: 5 },
)

/** What may be answered to a request that ran, by what it does. */
const ran: Readonly<Record<Deed, (key: string) => string>> = {
  order: (key) => `201 ${key}`,
  refuse: (key) => `422 ${key}`,
  fail: (key) => `500 ${key}`,
  throw: () => '23514',
  'break the commit': () => '23503',
  'spoil the response': () => 'INVALID_RESPONSE',
}

/** What is known of each key: the answer that is stored, once there is one. */
class Model {
  readonly stored = new Map<string, string>()

  /** @param answers - of one key in one wave, with what each request would do if it ran */
  wave(key: string, answers: readonly { readonly does: Deed; readonly answer: string }[], mayBeLost: boolean): void {
    const before = this.stored.get(key)
    const firsts = answers.filter(({ answer }) => /^(201|422) \S+$/.test(answer))
    expect(firsts.length, `first answers for ${key}`).toBeLessThanOrEqual(before === undefined ? 1 : 0)
    const replayed = answers.find(({ answer }) => answer.endsWith(' again'))?.answer.replace(' again', '')
    // Stored, and its answer lost with the connection: only a replay tells.
    const now = before ?? firsts[0]?.answer ?? (mayBeLost ? replayed : undefined)
    if (now !== undefined) this.stored.set(key, now)
    for (const { does, answer } of answers) {
      const allowed = [ran[does](key), ...(now === undefined ? [] : [`${now} again`])]
      if (before !== undefined) allowed.shift()
      if (mayBeLost) allowed.push('503')
      expect(allowed, `${key} ${does}`).toContain(answer)
    }
  }
}

async function play(history: typeof waves extends fc.Arbitrary<infer History> ? History : never): Promise<void> {
  await database.truncate('notes, malote.idempotency_keys')
  let kill = false
  const pools = [database.pool({ max: 2 }), database.pool({ max: 2 })]
  const processes = pools.map((own) =>
    batchOn(
      own,
      async (call) => {
        const answers = await noteAll(call)
        if (!kill) return answers
        kill = false
        const { rows } = await call.tx.query('select pg_backend_pid() as pid')
        await pool.query('select pg_terminate_backend($1)', [rows[0].pid])
        return answers
      },
      { maxSize: 5, waitMs: 20_000 },
    ),
  ) as [BatchUnderTest, BatchUnderTest]
  const model = new Model()
  for (const { sent, isKilled } of history) {
    kill = isKilled
    const answers = await Promise.allSettled(sent.map(({ process, key, does }) => processes[process].post(key, does)))
    const told = answers.map((answer, at) => ({
      ...(sent[at] as (typeof sent)[number]),
      answer:
        answer.status === 'rejected'
          ? String(answer.reason.code)
          : answer.value.status === 503
            ? '503'
            : brief(answer.value),
    }))
    for (const [key, ofKey] of Map.groupBy(told, (one) => one.key)) model.wave(key, ofKey, isKilled)
    const done = [...model.stored].filter(([, answer]) => answer.startsWith('201')).map(([key]) => key)
    const noted = await notesIn(pool)
    expect(noted.sort()).toEqual(done.sort())
    const { rows } = await pool.query<{ keys: number }>('select count(*)::int as keys from malote.idempotency_keys')
    expect(rows[0]?.keys).toBe(model.stored.size)
  }
  await Promise.all(pools.map((own) => own.end()))
}

it('whatever two processes are sent at once, each key has one effect at most, and one answer for ever', () =>
  fc.assert(fc.asyncProperty(waves, play), { numRuns: propertyRuns(25), seed: 11 }))
