import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { grantStatements, listOperatorActions, migrate } from '../src/index.ts'

const program = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const role = `operator_${String(process.pid)}_of_purges`
let database: TestDatabase
let pool: pg.Pool

/** Runs the command line as the documented operator, without a terminal. */
function malote(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const url = Object.assign(new URL(database.url), { username: role, password: 'p' }).toString()
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--conditions=@malote/source', program, ...words],
      { env: { ...process.env, DATABASE_URL: url, NODE_OPTIONS: '' } },
      (_, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
    child.stdin?.end()
  })
}

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
  await pool.query(`create role ${role} login password 'p'`)
  await pool.query(grantStatements(role, 'operator').join('\n'))
})
beforeEach(() =>
  pool.query('truncate malote.archived_messages, malote.messages, malote.dead_letters, malote.operator_actions'),
)
afterAll(async () => {
  await pool.query(`drop owned by ${role}; drop role ${role}`)
  await database.drop()
})

describe('malote purge --only archive', () => {
  it('drops the days that ended that long ago and old rows without a day, as an operator, and notes it', async () => {
    await pool.query(`
      do $$ declare day date; begin
        for ago in 29..33 loop
          day := (now() at time zone 'UTC')::date - ago;
          execute format('create table malote.archived_messages_%s partition of malote.archived_messages for values from (%L) to (%L)',
            to_char(day, 'YYYYMMDD'), day || ' 00:00+00', (day + 1) || ' 00:00+00');
        end loop;
      end $$;
      insert into malote.archived_messages (published_at, seq, id, topic, type, content_type, created_at, attempts, payload)
      select now() - ago * interval '1 day', ago, gen_random_uuid(), 'orders', 't', 'application/json', now(), 0, '{}'
      from unnest(array[29, 30, 31, 33, 90]) as ago`)

    const [unasked, tooYoung] = await Promise.all([
      malote('purge', '--only', 'archive', '--older-than', '30'),
      malote('purge', '--only', 'archive', '--older-than', '0.5', '--yes'),
    ])
    const done = await malote('purge', '--only', 'archive', '--older-than', '30', '--yes', '--reason', 'policy')

    expect(unasked).toMatchObject({ code: 2, stderr: expect.stringContaining('Delete every archived day') })
    expect(tooYoung).toMatchObject({ code: 2, stderr: expect.stringContaining('whole days') })
    expect(done.code).toBe(0)
    expect(done.stdout).toMatch(/^purged 1\n(dropped archived_messages_\d{8}\n){3}$/)
    const { rows } = await pool.query('select seq::int from malote.archived_messages order by seq')
    expect(rows.map(({ seq }) => seq)).toEqual([29, 30])
    expect(await listOperatorActions({ db: pool })).toMatchObject([
      { action: 'purge', reason: 'policy', affected: 1, target: [{ id: 'archive', olderThan: 30, state: 'done' }] },
      { action: 'purge', reason: 'policy', affected: 0, target: [{ id: 'archive', olderThan: 30, state: 'begun' }] },
    ])
  })

  it('says what a role lacks that may not', async () => {
    await pool.query(`revoke execute on function malote.purge_archive_v1(integer, integer) from ${role}`)
    const refused = await malote('purge', '--only', 'archive', '--older-than', '30', '--yes')
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('purge_archive_v1') })
    expect(await listOperatorActions({ db: pool })).toMatchObject([{ target: [{ state: 'begun' }] }])
    await pool.query(grantStatements(role, 'operator').join('\n'))
  })
})

it('malote messages list finds by type, by the last failure, by the reason of death, and in the archive by key and time', async () => {
  await pool.query(`
    insert into malote.messages (topic, type, payload, available_at, attempts, failures) values
      ('orders', 'order.accepted', '{}', now(), 1, '[{"at": "2026-11-20T12:00:00Z", "code": "THROTTLED", "message": "slowly"}]'),
      ('orders', 'order.refused', '{}', null, 0, null);
    insert into malote.dead_letters (id, seq, lane, topic, type, payload, content_type, created_at, attempts, reason)
    select gen_random_uuid(), 1, 0, 'orders', reason, '{}', 'application/json', now(), 1, reason from unnest(array['PERMANENT', 'POISON']) as reason;
    insert into malote.archived_messages (published_at, seq, id, topic, type, ordering_key, content_type, created_at, attempts, payload)
    select at, 1, gen_random_uuid(), 'orders', 'order.settled', 'account-17', 'application/json', at, 0, '{}'
    from unnest(array['2026-11-01T12:00:00Z', '2026-11-03T12:00:00Z']::timestamptz[]) as at`)
  const found = async (...words: string[]): Promise<string[]> => {
    const { stdout } = await malote('messages', 'list', '--json', ...words)
    return (JSON.parse(stdout) as { type: string; since: string | null }[])
      .map(({ type, since }) => (type === 'order.settled' ? String(since) : type))
      .sort()
  }
  const archived = ['--state', 'archived', '--key', 'account-17']

  expect(
    await Promise.all([
      found('--type', 'order.refused'),
      found('--failure', 'THROTTLED'),
      found('--death-reason', 'POISON'),
      found(...archived),
      found(...archived, '--since', '2026-11-02T00:00:00Z'),
      found(...archived, '--until', '2026-11-02T00:00:00Z'),
      found('--key', 'account-17'),
    ]),
  ).toEqual([
    ['order.refused'],
    ['order.accepted'],
    ['POISON'],
    ['2026-11-01T12:00:00.000Z', '2026-11-03T12:00:00.000Z'],
    ['2026-11-03T12:00:00.000Z'],
    ['2026-11-01T12:00:00.000Z'],
    [],
  ])
})
