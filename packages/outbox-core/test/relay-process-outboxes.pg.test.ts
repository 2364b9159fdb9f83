import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, inject, it } from 'vitest'
import { createOutbox, grantStatements, migrate, outboxStatus } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage } from './relay-bench.ts'

type Line = Readonly<Record<string, unknown>>

/** Two outboxes in the first database, one in another. */
const places = {
  orders: { shard: 0, schema: 'malote' },
  mail: { shard: 0, schema: 'mail' },
  far: { shard: 1, schema: 'malote' },
} as const
type Name = keyof typeof places
const names = Object.keys(places) as Name[]
const program = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'malote-outboxes-'))
/** Two share a publisher, as outboxes of one database may. */
const config = `import { appendFileSync } from 'node:fs'
const publisher = (file) => ({
  name: file,
  publish: async (batch) => {
    appendFileSync(process.env.FOLDER + file, batch.map(({ id }) => id + '\\n').join(''))
    return batch.map(({ id }) => ({ id, status: 'accepted' }))
  },
  close: async () => appendFileSync(process.env.FOLDER + file, 'closed\\n'),
})
export default (environment) => {
  const near = publisher('near')
  return [
    { outbox: 'orders', publisher: near },
    { outbox: 'mail', publisher: near, relay: { schema: 'mail' } },
    { outbox: 'far', publisher: publisher('far'), databaseUrl: environment.FAR },
  ]
}`
let databases: TestDatabase[]
let relayUrls: readonly string[]
let pools: pg.Pool[]
let child: ChildProcess | undefined
let lines: Line[]

beforeAll(async () => {
  databases = await Promise.all([0, 1].map(() => createTestDatabase(inject('postgresUrl'))))
  pools = databases.map((database) => database.pool())
  for (const { shard, schema } of Object.values(places)) await migrate(pools[shard] as pg.Pool, { schema })
  const grants = (shard: number) => (role: string) =>
    Object.values(places)
      .filter((place) => place.shard === shard)
      .flatMap(({ schema }) => grantStatements(role, 'relay', { schema }))
  relayUrls = await Promise.all(databases.map((database, shard) => database.urlAs(grants(shard))))
  writeFileSync(join(folder, 'malote.config.mjs'), config)
})
afterEach(async () => {
  if (child?.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit')
})
afterAll(async () => {
  await Promise.all(databases.map((database) => database.drop()))
  rmSync(folder, { recursive: true })
})

/** Resolves when it serves its health. */
async function start(): Promise<(path: string) => Promise<string>> {
  const args = ['relay', '--config', join(folder, 'malote.config.mjs'), '--port', '0']
  const env = { DATABASE_URL: relayUrls[0], FAR: relayUrls[1], FOLDER: join(folder, '/'), NODE_OPTIONS: '' }
  const started = spawn(process.execPath, ['--conditions=@malote/source', program, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child = started
  lines = []
  createInterface({ input: started.stdout }).on('line', (line) => lines.push(JSON.parse(line) as Line))
  const port = await eventually(async () => {
    const port = lines.find((line) => line['port'] !== undefined)?.['port']
    expect(port).toBeTypeOf('number')
    return String(port)
  })
  return async (path) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return `${String(response.status)} ${await response.text()}`
  }
}

async function add(name: Name, count: number): Promise<readonly string[]> {
  const { shard, schema } = places[name]
  const client = await (pools[shard] as pg.Pool).connect()
  await client.query('begin')
  const ids = await createOutbox({ schema }).addAll(
    client,
    Array.from({ length: count }, (_, n) => aMessage({ orderingKey: 'k', payload: n })),
  )
  await client.query('commit')
  client.release()
  return ids
}

const taken = (file: 'near' | 'far'): readonly string[] =>
  existsSync(join(folder, file)) ? readFileSync(join(folder, file), 'utf8').trimEnd().split('\n') : []

const publishedFrom = (name: Name): readonly string[] => taken(name === 'far' ? 'far' : 'near')

async function expectPublished(name: Name, ids: readonly string[]): Promise<void> {
  await eventually(async () => {
    const wanted = new Set(ids)
    // At least once: a killed relay's messages may come again, in their order.
    expect([...new Set(publishedFrom(name).filter((id) => wanted.has(id)))]).toEqual(ids)
  })
}

/** Nobody can log in to the database, and who was there is thrown out; or again they can. */
async function takeAway(database: TestDatabase, isAway: boolean): Promise<void> {
  const name = new URL(database.url).pathname.slice(1)
  const server = new pg.Client({ connectionString: inject('postgresUrl') })
  await server.connect()
  await server.query(`alter database ${name} allow_connections ${String(!isAway)}`)
  if (isAway) await server.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name])
  await server.end()
}

it('one process serves two outboxes of a database and one of another, each for itself, through a kill, and stops them all', async () => {
  let get = await start()
  await eventually(async () => expect(await get('/readyz')).toBe('200 ready\n'))
  for (const name of names) await expectPublished(name, await add(name, 20))
  await eventually(async () => {
    const text = await get('/metrics')
    for (const name of names) {
      expect(text).toContain(`malote_topic_published_total{outbox="${name}",topic="orders"} 20\n`)
      expect(text).toContain(`malote_outbox_relays{outbox="${name}"} 1\n`)
    }
    expect(text.match(/^# TYPE malote_outbox_relays /gm)).toHaveLength(1)
  })

  await takeAway(databases[1] as TestDatabase, true)
  await eventually(async () => expect(await get('/readyz')).toBe('503 no session: far\n'))
  const metrics = await get('/metrics')
  expect(names.map((name) => metrics.match(new RegExp(`malote_outbox_observed{outbox="${name}"} (.)`))?.[1])).toEqual([
    '1',
    '1',
    '0',
  ])
  expect(metrics).not.toContain('malote_outbox_relays{outbox="far"}')
  await expectPublished('orders', await add('orders', 5))
  await expectPublished('mail', await add('mail', 5))
  expect(lines.find(({ event }) => event === 'database.disconnected')).toMatchObject({ outbox: 'far', level: 'error' })
  await takeAway(databases[1] as TestDatabase, false)
  await eventually(async () => expect(await get('/readyz')).toBe('200 ready\n'))
  await expectPublished('far', await add('far', 5))

  child?.kill('SIGKILL')
  if (child !== undefined) await once(child, 'exit')
  const waiting = await Promise.all(names.map(async (name) => ({ name, ids: await add(name, 10) })))
  get = await start()
  for (const { name, ids } of waiting) await expectPublished(name, ids)

  child?.kill('SIGTERM')
  if (child !== undefined) await once(child, 'exit')
  expect(child?.exitCode).toBe(0)
  expect([taken('near'), taken('far')].map((ids) => ids.filter((id) => id === 'closed'))).toEqual([
    ['closed'],
    ['closed'],
  ])
  const ready = names.map(async (name) => {
    const { shard, schema } = places[name]
    return (await outboxStatus(pools[shard] as pg.Pool, { schema })).ready
  })
  expect(await Promise.all(ready)).toEqual([0, 0, 0])
  const stopped = lines.filter(({ event }) => event === 'relay.stopped').map(({ outbox }) => outbox)
  expect(stopped).toHaveLength(names.length)
  expect(new Set(stopped)).toEqual(new Set(names))
})
