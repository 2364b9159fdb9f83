import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { createConsumerStore, grantStatements } from '../src/index.ts'
import { aReceivedMessage, eventually } from '../src/testing/index.ts'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'

const program = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
let database: TestDatabase
let operatorUrl: string

/** Runs the command line as an operator would, without a terminal; it migrates as the owner. */
function malote(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--conditions=@malote/source', program, ...words],
      { env: { ...process.env, DATABASE_URL: words[0] === 'migrate' ? database.url : operatorUrl, NODE_OPTIONS: '' } },
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
  operatorUrl = await database.urlAs((role) => [
    ...grantStatements(role, 'operator'),
    `grant pg_read_all_stats to ${role};`,
  ])
})
beforeEach(() =>
  database
    .pool()
    .query(
      'truncate malote.dead_letters restart identity; truncate malote.held_keys; truncate malote.operator_actions',
    ),
)
afterAll(() => database.drop())

describe('malote', () => {
  it('migrates once and then has nothing to do', async () => {
    expect(await malote('migrate')).toMatchObject({ code: 0, stdout: 'nothing to do\n' })
    const { stdout } = await malote('migrate', '--dry-run', '--only', 'outbox', '--schema', 'other')
    await database.pool().query(stdout)
    expect(await malote('migrate', '--only', 'outbox', '--schema', 'other')).toMatchObject({
      stdout: 'nothing to do\n',
    })
  })

  it('tells the status to people and machines', async () => {
    expect((await malote('status')).stdout).toMatch(/ready\s+0/)
    expect((await malote('status')).stdout).toContain('last never')
    expect(await json('status')).toMatchObject({ ready: 0, deadLetters: 0, lanesWithoutRelay: 64, relays: [] })
  })

  it('watches the status: what is added meanwhile is seen at the next look', async () => {
    const child = spawn(process.execPath, ['--conditions=@malote/source', program, 'status', '--watch'], {
      env: { ...process.env, DATABASE_URL: operatorUrl, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const looks = createInterface({ input: child.stdout })
    const seen: string[] = []
    looks.on('line', (line) => seen.push(line))

    await eventually(() => expect(seen).toContainEqual(expect.stringMatching(/^ready +0/)))
    await database.pool().query(`insert into malote.messages (topic, type, payload) values ('orders', 't', '{}')`)
    await eventually(() => expect(seen).toContainEqual(expect.stringMatching(/^ready +1/)))

    child.kill('SIGTERM')
    await once(child, 'exit')
    await database.pool().query('truncate malote.messages')
  })

  it('finds what is wrong and exits with 1', async () => {
    expect((await malote('doctor', '--as', 'operator')).code).toBe(0)
    await database.pool().query(`alter sequence malote.messages_seq_seq cache 20`)

    const { code, stdout } = await malote('doctor', '--as', 'operator')

    await database.pool().query(`alter sequence malote.messages_seq_seq cache 1`)
    expect(code).toBe(1)
    expect(stdout).toMatch(/problem\s+sequence cache\s+SEQUENCE_CACHE/)
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

  it.each([
    [['unknown'], 'unknown command'],
    [['statsu'], 'Did you mean status?'],
    [['dead-letters', 'show', 'abc'], 'not the id of a dead letter'],
    [['dead-letters', 'replay'], 'a filter'],
    [['purge'], '--older-than'],
    [['purge', '--older-than', 'x'], 'a number from 0'],
    [['status', '--no-such-flag'], '--no-such-flag'],
    [['messages', 'show', 'no-id'], 'a UUID'],
    [['grants', '--role', 'r', '--for', 'king'], 'writer'],
    [['migrate', '--adopt', '0001_create_outbox.sql', '--dry-run'], '--dry-run'],
  ])('%j is refused at once, with 2, also where the database is away', async (words, why) => {
    const { code, stderr } = await malote(...words, '--database-url', 'postgres://127.0.0.1:1/none')

    expect(stderr).toContain(why)
    expect(code).toBe(2)
  })

  it('helps with each verb by examples, and tells its version', async () => {
    const help = await malote('dead-letters', 'replay', '--help')
    expect(help.stdout).toContain('malote dead-letters replay --topic orders')
    expect((await malote('--version')).stdout).toMatch(/^\d+\.\d+\.\d+/)
    expect((await malote()).code).toBe(2)
  })

  it('exits with 3 when the doctor cannot look, and with 1 when a command that names a doctor fails', async () => {
    const away = ['--database-url', 'postgres://127.0.0.1:1/none', '--reason', 'x']
    expect(await malote('doctor', ...away)).toMatchObject({ code: 3 })
    expect(await malote('topics', 'pause', 'doctor', ...away)).toMatchObject({ code: 1 })
  })

  it('finds messages that wait, and tells for what', async () => {
    await bury('conta-9')
    await database
      .pool()
      .query(
        `insert into malote.messages (topic, type, ordering_key, payload) values ('orders', 'order.accepted', 'conta-9', '{"secret":1}')`,
      )

    const [waiting] = (await json('messages', 'list', '--state', 'held')) as { id: string }[]
    const shown = await malote('messages', 'show', String(waiting?.id))
    const dead = await malote('messages', 'list', '--state', 'dead', '--key', 'conta-9')

    expect(shown.stdout).toContain('dead letter 1')
    expect(dead.stdout).toContain('THROTTLED')
    expect(shown.stdout + dead.stdout).not.toContain('secret')
    await database.pool().query('truncate malote.messages')
  })

  it('pauses topics and holds keys, with a reason, for the record', async () => {
    expect(await malote('topics', 'pause', 'orders')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--reason'),
    })
    const who = ['--operator', 'ana', '--reason', 'moving house']
    expect(await json('topics', 'pause', 'orders', ...who)).toEqual({ paused: 1 })
    expect(await json('held-keys', 'hold', 'orders', 'k', ...who)).toEqual({ held: 1 })

    expect((await malote('topics', 'list')).stdout).toMatch(/orders.*ana.*moving house/)
    expect((await malote('held-keys', 'list')).stdout).toMatch(/orders.*ana.*moving house/)
    expect((await malote('status')).stdout).toContain('PAUSED: topic orders')
    expect((await malote('topics', 'pause', 'orders', ...who)).code).toBe(1)
    await malote('topics', 'resume', 'orders', ...who)
    await malote('held-keys', 'release', 'orders', 'k', ...who)
    expect(await json('audit')).toMatchObject([
      { action: 'release', target: [{ topic: 'orders', ordering_key: 'k' }] },
      { action: 'resume', operator: 'ana', target: [{ topic: 'orders' }] },
      { action: 'hold', reason: 'moving house' },
      { action: 'pause', affected: 1 },
    ])
    await database.pool().query('truncate malote.operator_actions')
  })

  it('drains, and says what is left when the time is up', async () => {
    expect(await malote('drain', '--until', 'now')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('is at the broker'),
    })
    await database.pool().query(`insert into malote.messages (topic, type, payload) values ('orders', 't', '{}')`)
    const { code, stdout } = await malote('drain', '--topic', 'orders', '--timeout', '0')
    await database.pool().query('truncate malote.messages')
    expect(code).toBe(1)
    expect(stdout).toContain('1 unpublished of topic orders')
  })

  it('decides about many by filter, shows them first, and writes down who decided and why', async () => {
    for (const key of ['a', 'b', 'c']) await bury(key)
    const filter = ['--topic', 'orders', '--type', 'order.accepted', '--death-reason', 'MAX_ATTEMPTS', '--limit', '2']
    const who = ['--operator', 'ana', '--reason', 'queue is back']

    const refused = await malote('dead-letters', 'replay', ...filter)
    const done = await malote('dead-letters', 'replay', ...filter, '--yes', ...who)

    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('Replay 2 dead letters?') })
    expect(done).toMatchObject({ code: 0, stdout: 'replayed 2\n', stderr: expect.stringContaining('THROTTLED') })
    await malote('held-keys', 'release', 'orders', 'a', '--operator', 'rui')
    await malote('dead-letters', 'discard', '1', '--yes', '--operator', 'ana')
    expect(await json('audit')).toMatchObject([
      { action: 'discard', operator: 'ana', affected: 1, target: [{ dead_letter_id: 1, ordering_key: 'a' }] },
      { action: 'release', operator: 'rui', reason: null },
      { action: 'replay', operator: 'ana', reason: 'queue is back', affected: 2 },
    ])
    expect(JSON.stringify(await json('audit'))).not.toContain('secret')
    await database.pool().query('truncate malote.messages, malote.operator_actions')
  })

  it('lists held streams of consumers and lets one go on as it is told', async () => {
    const store = createConsumerStore({ db: database.pool(), consumer: 'ledger' })
    const message = aReceivedMessage({ orderingKey: 'order-17' })
    const at = new Date().toISOString()
    await store.hold(message, { reason: 'MAX_ATTEMPTS', attempts: 5, error: 'E', source: 'q', topic: 'orders', at })

    expect(await json('held-streams', 'list')).toMatchObject([
      { consumer: 'ledger', deadMessageId: message.id, waiting: 0 },
    ])
    expect((await malote('held-streams', 'list')).stdout).toContain('MAX_ATTEMPTS E')
    const stream = ['held-streams', 'release', 'ledger', 'orders', 'order-17']
    expect(await malote(...stream)).toMatchObject({ code: 2 })
    expect(await malote(...stream, '--discard')).toMatchObject({ code: 2 })
    expect(await malote(...stream, '--retry')).toMatchObject({ code: 0, stdout: 'released 1\n' })
    expect(await malote(...stream, '--retry')).toMatchObject({ code: 1 })
    expect((await (await store.claimReleased(1_000))?.next())?.message.id).toBe(message.id)
  })
})
