import { type PostgresService, startPostgres } from '@malote/testing/services/postgres'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { diagnose, type Finding, grantStatements, migrate } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'

/** A server of its own: what is wrong here is wrong for everybody on it. */
let server: PostgresService
let owner: pg.Client
let reader: pg.Client

beforeAll(async () => {
  server = await startPostgres({ durable: false, settings: { max_connections: 20 } })
  owner = new pg.Client({ connectionString: server.url })
  await owner.connect()
  await migrate(owner)
  await owner.query(`create role reader login; ${grantStatements('reader', 'reader').join('\n')}`)
  reader = new pg.Client({ connectionString: server.url.replace('postgres@', 'reader@') })
  await reader.connect()
})
afterAll(async () => {
  await Promise.all([owner.end(), reader.end()])
  await server.stop()
})

const look = (code: string): Promise<Finding | undefined> =>
  diagnose(reader, { purpose: 'reader' }).then((found) => found.find((one) => one.code === code))
const isThere = (code: string, wanted: boolean): Promise<Finding | undefined> =>
  eventually(async () => {
    const found = await look(code)
    expect(found !== undefined).toBe(wanted)
    return found
  })

it('autovacuum that is off for the whole server is told, and what is told turns it on', async () => {
  expect(await look('AUTOVACUUM_OFF')).toBeUndefined()
  await owner.query('alter system set autovacuum = off')
  await owner.query('select pg_reload_conf()')

  const found = await isThere('AUTOVACUUM_OFF', true)
  expect(found).toMatchObject({ level: 'problem', detail: expect.stringContaining('whole server') })
  for (const statement of String(found?.mend).split(';')) await owner.query(statement)
  await isThere('AUTOVACUUM_OFF', false)
})

it('connections that are nearly all taken are told, with the limits that the doctor has by itself', async () => {
  expect(await look('CONNECTIONS_NEAR_LIMIT')).toBeUndefined()
  const taken = Array.from({ length: 17 }, () => new pg.Client({ connectionString: server.url }))
  await Promise.all(taken.map((client) => client.connect()))

  expect((await look('CONNECTIONS_NEAR_LIMIT'))?.detail).toMatch(/^19 of 20/)
  await Promise.all(taken.map((client) => client.end()))
  await isThere('CONNECTIONS_NEAR_LIMIT', false)
})

it('a server that is too old is told, though all works that was looked at', async () => {
  const old = await startPostgres({ durable: false, major: '13' })
  const client = new pg.Client({ connectionString: old.url })
  await client.connect()
  await migrate(client)
  const problems = (await diagnose(client)).filter(({ level }) => level === 'problem')
  await client.end()
  await old.stop()

  expect(problems).toMatchObject([
    { code: 'SERVER_TOO_OLD', detail: 'this is PostgreSQL 13: 14 or newer is needed', mend: 'upgrade the server' },
  ])
})
