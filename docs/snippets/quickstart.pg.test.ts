import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createTestDatabase } from '@malote/testing/database'
import { startPostgres } from '@malote/testing/services/postgres'
import { eventually } from '@malote/outbox-core/testing'
import pg from 'pg'
import { expect, inject, it } from 'vitest'

const file = fileURLToPath(new URL('quickstart.mjs', import.meta.url))

function start(url: string): ChildProcess {
  const env = { ...process.env, DATABASE_URL: url }
  return spawn(process.execPath, ['--conditions=@malote/source', file], { env, stdio: ['ignore', 'pipe', 'pipe'] })
}

it('the quickstart of the README, exactly as printed, shows each step and ends by Ctrl-C', async () => {
  const database = await createTestDatabase(inject('postgresUrl'))
  const program = start(database.url)
  const exited = once(program, 'exit')
  const lines: string[] = []
  const errors: string[] = []
  program.stderr?.on('data', (text) => errors.push(String(text)))
  for await (const line of createInterface({ input: program.stdout as NodeJS.ReadableStream })) {
    lines.push(line.replace(/[0-9a-f-]{36}/, '…'))
    if (line.startsWith('4.')) program.kill('SIGINT')
  }

  expect(await exited).toEqual([0, null])
  await database.drop()
  expect([lines, errors.filter((text) => !text.includes('ExperimentalWarning'))]).toEqual([
    [
      '1. order … and its message are committed',
      '2. the relay has brought it to the broker',
      '3. message … arrived: processed',
      '3. message … arrived: duplicate',
      '4. 1 sale, 1999 cents in all. Ctrl-C ends it',
      '5. stopped: nothing lost, nothing half done',
    ],
    [],
  ])
})

it('with a wrong address it ends at once and names the address', async () => {
  const program = start('postgres://nobody@127.0.0.1:9/none')
  const errors: string[] = []
  program.stderr?.on('data', (text) => errors.push(String(text)))

  expect(await once(program, 'close')).toEqual([1, null])
  expect(errors.join('')).toContain('connect ECONNREFUSED 127.0.0.1:9')
})

it('the quickstart goes on through killed sessions, restarts, a crash and a truncate of every table', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'malote-quickstart-'))
  // Of its own, because it is restarted. It crashes as a process, so nothing has to reach the disk.
  const server = await startPostgres({ dataDir, settings: { fsync: 'off' } })
  const program = start(server.url)
  const exited = once(program, 'exit')
  const [lines, errors]: [string[], string[]] = [[], []]
  createInterface({ input: program.stdout as NodeJS.ReadableStream }).on('line', (line) => lines.push(line))
  createInterface({ input: program.stderr as NodeJS.ReadableStream }).on('line', (line) => errors.push(line))
  const query = async (text: string): Promise<pg.QueryResult> => {
    const client = new pg.Client({ connectionString: server.url })
    client.on('error', () => {})
    await client.connect()
    try {
      return await client.query(text)
    } finally {
      await client.end()
    }
  }
  const seen = (line: RegExp): Promise<void> =>
    eventually(
      () => expect([lines.filter((one) => line.test(one)), errors, program.exitCode]).not.toEqual([[], errors, null]),
      {
        patienceMs: 40_000,
      },
    )
  const disturbances: Record<string, () => Promise<unknown>> = {
    'its sessions are killed': () =>
      query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
      ),
    'the database restarts': () => server.stop('fast').then(() => server.start()),
    'the database crashes': () => server.stop('immediate').then(() => server.start()),
    'every table is emptied': () =>
      query(`do $$ begin execute (select 'truncate ' || string_agg(format('%I.%I', schemaname, tablename), ', ') || ' restart identity'
        from pg_tables where schemaname not in ('pg_catalog', 'information_schema')); end $$`),
  }
  await seen(/^4\./)

  for (const [name, disturb] of Object.entries(disturbances)) {
    await disturb()
    const { rows } = await query(
      `insert into malote.messages (topic, type, payload) values ('orders', 'order.accepted', '{"cents":1}') returning id`,
    )
    await seen(new RegExp(`^3\\. message ${String(rows[0].id)} arrived: processed$`))
    expect([name, program.exitCode]).toEqual([name, null])
  }
  program.kill('SIGINT')

  expect(await exited).toEqual([0, null])
  expect(lines.at(-1)).toMatch(/^5\./)
  await server.stop()
  rmSync(dataDir, { recursive: true })
})
