import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'

const program = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
let database: TestDatabase

/** Runs the command line as a user would, without a terminal. */
function malote(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--conditions=@malote/source', program, ...words],
      { env: { ...process.env, DATABASE_URL: database.url, NODE_OPTIONS: '' } },
      (_, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
    child.stdin?.end()
  })
}

const json = async (...words: string[]): Promise<unknown> => JSON.parse((await malote(...words, '--json')).stdout)

async function bury(orderingKey: string | null): Promise<void> {
  const pool = database.pool()
  await pool.query(
    `with dead as (
      insert into malote.dead_letters (id, seq, lane, topic, type, ordering_key, payload, content_type, created_at, attempts, reason, failures)
      values (gen_random_uuid(), 1, (hashtextextended(coalesce($1, 'x') collate "C", 0) & 63)::smallint, 'orders', 'order.accepted', $1, '{"secret":1}',
        'application/json', now(), 10, 'MAX_ATTEMPTS', '[{"at": "2026-11-20T12:00:00Z", "code": "THROTTLED", "message": "slow down"}]')
      returning *)
    insert into malote.held_keys (topic, ordering_key, dead_letter_id) select topic, ordering_key, dead_letter_id from dead where ordering_key is not null`,
    [orderingKey],
  )
}

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  expect(await malote('migrate')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('applied 0001_create_outbox.sql'),
  })
})
beforeEach(() => database.pool().query('truncate malote.dead_letters restart identity; truncate malote.held_keys'))
afterAll(() => database.drop())

describe('malote', () => {
  it('migrates once and then has nothing to do', async () => {
    expect(await malote('migrate')).toMatchObject({ code: 0, stdout: 'nothing to do\n' })
    expect((await malote('migrate', '--dry-run', '--schema', 'other')).stdout).toContain('create table messages')
  })

  it('tells the status to people and machines', async () => {
    expect((await malote('status')).stdout).toMatch(/ready\s+0/)
    expect(await json('status')).toMatchObject({ ready: 0, deadLetters: 0, lanesWithoutRelay: 64, relays: [] })
  })

  it('finds what is wrong and exits with 1', async () => {
    expect((await malote('doctor')).code).toBe(0)
    await database.pool().query(`alter sequence malote.messages_seq_seq cache 20`)

    const { code, stdout } = await malote('doctor')

    await database.pool().query(`alter sequence malote.messages_seq_seq cache 1`)
    expect(code).toBe(1)
    expect(stdout).toMatch(/problem\s+sequence cache/)
    expect(await malote('doctor', '--schema', 'nowhere')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('malote migrate'),
    })
  })

  it('lists and shows dead letters without their bodies', async () => {
    await bury('conta-1')

    const [list, show] = [await malote('dead-letters', 'list'), await malote('dead-letters', 'show', '1')]

    expect(list.stdout).toContain('THROTTLED')
    expect(show.stdout).toContain('slow down')
    expect(list.stdout + show.stdout).not.toContain('secret')
    expect(await malote('dead-letters', 'show', '9')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('NOT_FOUND'),
    })
  })

  it('replays a dead letter and frees its key', async () => {
    await bury('conta-1')
    expect(await json('held-keys', 'list')).toMatchObject([{ orderingKey: 'conta-1', deadLetterId: '1' }])

    expect(await json('dead-letters', 'replay', '1')).toEqual({ replayed: 1 })

    expect(await json('held-keys', 'list')).toEqual([])
    expect(await json('status')).toMatchObject({ waiting: 1, deadLetters: 0 })
    expect((await malote('dead-letters', 'replay', '1')).code).toBe(1)
    await database.pool().query('truncate malote.messages')
  })

  it('deletes only when told --yes', async () => {
    await bury(null)

    expect(await malote('dead-letters', 'discard', '1')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--yes'),
    })
    expect(await json('dead-letters', 'discard', '1', '--yes')).toEqual({ discarded: 1 })
    await bury(null)
    expect(await json('purge', '--older-than', '1', '--yes')).toEqual({ purged: 0 })
    expect(await json('purge', '--older-than', '0', '--yes')).toEqual({ purged: 1 })
  })

  it('releases a held key', async () => {
    await bury('conta-2')

    expect(await json('held-keys', 'release', 'orders', 'conta-2')).toEqual({ released: 1 })
    expect((await malote('held-keys', 'release', 'orders', 'conta-2')).code).toBe(1)
  })

  it.each([[['unknown']], [['dead-letters', 'show', 'abc']], [['purge']], [['status', '--no-such-flag']], [[]]])(
    '%j is refused with the usage and 2',
    async (words) => {
      const { code, stdout, stderr } = await malote(...words)

      expect(code).toBe(2)
      expect(stdout + stderr).toContain('malote dead-letters list')
    },
  )
})
