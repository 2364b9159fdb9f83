import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { pauseProcess } from '@malote/testing/pause-process'
import { type PooledUrl, startPgbouncer } from '@malote/testing/services/pgbouncer'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { expectedIndexes } from '../src/doctor/expected-indexes.ts'
import { expectedTriggers } from '../src/doctor/expected-triggers.ts'
import {
  createTopics,
  type DoctorLimits,
  diagnose,
  type Finding,
  findMessages,
  grantStatements,
  outboxStatus,
  type RolePurpose,
  systemClock,
} from '../src/index.ts'
import { neededPrivileges, rolePurposes } from '../src/postgres/grants.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from './relay-bench.ts'

/** Null where there is none and none can be installed: the test is then listed as not run. */
const pooler: PooledUrl | null = await startPgbouncer(inject('postgresUrl')).catch((error: unknown) => {
  if (process.env['CI'] === 'true') throw error
  console.warn(`the test through a pooler is not run: ${String(error)}`)
  return null
})
const role = `looker_${String(process.pid)}_${String(Date.now())}`
let bench: RelayBench
let reader: pg.Client
let other: pg.Client

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
  await bench.pool.query(`create role ${role} login password 'p'`)
  await bench.pool.query(grantStatements(role, 'reader').join('\n'))
  await bench.pool.query(`grant pg_read_all_stats to ${role}`)
})
beforeEach(async () => {
  reader = new pg.Client({
    connectionString: Object.assign(new URL(bench.database.url), { username: role, password: 'p' }).toString(),
  })
  other = new pg.Client({ connectionString: bench.database.url, application_name: 'the-culprit' })
  await Promise.all([reader.connect(), other.connect()])
})
afterEach(async () => {
  await Promise.all([reader.end(), other.end()])
  await bench.reset()
})
afterAll(async () => {
  await bench.pool.query(`drop owned by ${role}; drop role ${role}`)
  await bench.database.drop()
  await pooler?.close()
})

const look = (limits: Partial<DoctorLimits> = {}): Promise<readonly Finding[]> =>
  diagnose(reader, { purpose: 'reader', limits })
const codes = (findings: readonly Finding[]): string[] => findings.map(({ code }) => code)
/** Waits until the doctor says it. */
const finding = (code: string, limits: Partial<DoctorLimits> = {}): Promise<Finding> =>
  eventually(async () => {
    const found = (await look(limits)).find((one) => one.code === code)
    expect(found).toMatchObject({ code })
    return found as Finding
  })
const gone = (code: string, limits: Partial<DoctorLimits> = {}): Promise<void> =>
  eventually(async () => expect(codes(await look(limits))).not.toContain(code))

describe('a relay', () => {
  it('that hangs is told from one that was killed', async () => {
    const program = fileURLToPath(new URL('race/relay-process.ts', import.meta.url))
    const options = { url: bench.urlAs.relay, leaseMs: 600, presence: true }
    const child = spawn(process.execPath, ['--conditions=@malote/source', program, JSON.stringify(options)])
    await eventually(async () => expect((await outboxStatus(reader)).relays).toMatchObject([{ isAlive: true }]))
    const goOn = await pauseProcess(child.pid ?? 0)

    const hung = await finding('RELAY_HUNG')
    child.kill('SIGKILL')
    goOn()
    await once(child, 'exit')
    const dead = await finding('RELAY_DEAD')

    expect(hung).toMatchObject({ level: 'problem', since: expect.stringMatching(/Z$/) })
    expect(dead.mend).toContain('start it again')
  })

  it('that was killed leaves lanes without one, as long as the others cannot take them over', async () => {
    const program = fileURLToPath(new URL('race/relay-process.ts', import.meta.url))
    const options = JSON.stringify({ url: bench.urlAs.relay, leaseMs: 60_000, presence: true })
    const start = (): ReturnType<typeof spawn> =>
      spawn(process.execPath, ['--conditions=@malote/source', program, options])
    const [killed, paused] = [start(), start()]
    const exits = [once(killed, 'exit'), once(paused, 'exit')]
    await eventually(async () => {
      const { rows } = await other.query('select count(distinct owner)::int as owners from malote.lanes')
      expect(rows[0]?.owners).toBe(2)
    })
    const goOn = await pauseProcess(paused.pid ?? 0)
    killed.kill('SIGKILL')

    const found = await finding('LANES_WITHOUT_RELAY')
    expect(found).toMatchObject({ level: 'warning', detail: expect.stringMatching(/^\d+ of 64 lanes/) })
    goOn()
    await gone('LANES_WITHOUT_RELAY')
    paused.kill('SIGKILL')
    await Promise.all(exits)
  })

  it('whose lease is no longer than a publish is told of', async () => {
    bench.relay({ leaseMs: 5_000, publishTimeoutMs: 5_000 }).relay.start()

    expect((await finding('LEASE_TOO_SHORT')).detail).toContain('5000 ms')
    await bench.reset()
    await gone('LEASE_TOO_SHORT')
  })

  it.skipIf(pooler === null)('behind a pooler in transaction mode is told of', async () => {
    const { port } = new URL((pooler as PooledUrl).url)
    const pool = new pg.Pool({ connectionString: Object.assign(new URL(bench.database.url), { port }).toString() })
    pool.on('error', () => {}) // The pooler ends sessions when it stops.
    const { relay } = bench.relay({ pool })
    relay.start()

    expect((await finding('POOLER_IN_TRANSACTION_MODE')).mend).toContain('direct connection')
    await relay.stop()
    await pool.end()
  })

  it('that hears no doorbell is told of', async () => {
    const pool = new pg.Pool({ connectionString: bench.database.url })
    pool.on('error', () => {})
    // What a proxy does that passes on answers and drops notifications.
    pool.on('connect', (client) => {
      const on = client.on.bind(client)
      client.on = ((event: string, listener: () => void) =>
        event === 'notification' ? client : on(event as 'end', listener)) as never
    })
    const { relay } = bench.relay({ pool })
    relay.start()

    expect((await finding('DOORBELL_DEAD')).level).toBe('warning')
    await relay.stop()
    await pool.end()
  })

  it('that finds one destination away names it, and what waits for it', async () => {
    const { relay, broker } = bench.relay({ destinationBackoff: () => 50 })
    broker.failWith(({ topic }) =>
      topic === 'bills'
        ? { kind: 'unavailable', destination: 'queue-of-bills', code: 'NO_QUEUE', message: 'it does not exist' }
        : null,
    )
    const [id] = await bench.add(aMessage({ topic: 'bills' }))
    relay.start()

    const found = await finding('DESTINATION_UNAVAILABLE')
    expect(found).toMatchObject({ level: 'problem', since: expect.stringMatching(/Z$/) })
    expect(found.detail).toMatch(/queue-of-bills.*it does not exist/)
    expect(await findMessages(reader, { id: String(id) })).toMatchObject([
      { state: 'ready', waitsFor: 'queue-of-bills, which takes nothing' },
    ])
    broker.failWith(() => null)
    await gone('DESTINATION_UNAVAILABLE')
  })

  it('whose publishes fail while others get through warns, and goes on', async () => {
    const { relay, broker } = bench.relay({ backoff: () => 50, maxAttempts: 1_000 })
    broker.failWith(({ type }) => (type === 'bad' ? { kind: 'retryable', code: 'THROTTLED', message: 'slowly' } : null))
    await bench.add(aMessage({ type: 'bad' }), aMessage())
    relay.start()

    expect((await finding('RETRIES')).detail).toContain('slowly')
  })
})

describe('somebody', () => {
  it('who paused a topic is named, with the reason', async () => {
    const topics = createTopics({ db: bench.as.operator })
    await topics.pause('orders', { by: 'ana', reason: 'the ledger moves house' })
    const [id] = await bench.add(aMessage())

    const found = await finding('TOPIC_PAUSED')
    expect(found.detail).toMatch(/ana: the ledger moves house/)
    expect(found.mend).toContain('malote topics resume orders')
    expect(await findMessages(reader, { id: String(id) })).toMatchObject([{ waitsFor: 'its topic, which ana paused' }])
    await topics.resume('orders')
    await gone('TOPIC_PAUSED')
  })

  it('who keeps a snapshot open is told by pid and query', async () => {
    await other.query('begin isolation level repeatable read')
    await other.query('select 42 as snapshot_kept_open')

    const found = await finding('OLD_SNAPSHOT', { openTransactionMs: 0 })
    expect(found.detail).toMatch(/pid \d+ .*the-culprit.*snapshot_kept_open/)
    expect(codes(await look())).not.toContain('OLD_SNAPSHOT')
    await other.query(String(found.mend).replace(/\d+/, '0')) // The mend is SQL.
    await other.query('rollback')
    await eventually(async () =>
      expect((await look({ openTransactionMs: 0 })).filter(({ detail }) => detail.includes('the-culprit'))).toEqual([]),
    )
  })

  it('who wrote messages and does nothing is told by pid', async () => {
    await other.query('begin')
    await other.query(`insert into malote.messages (topic, type, payload) values ('orders', 't', '{}')`)

    const found = await finding('IDLE_WRITER', { idleWriterMs: 0 })
    expect(found.detail).toContain('the-culprit')
    expect(found.since).toMatch(/Z$/)
    expect(codes(await look())).not.toContain('IDLE_WRITER')
    await other.query('rollback')
    await gone('IDLE_WRITER', { idleWriterMs: 0 })
  })

  it('who forgot a prepared transaction is told by its name', async () => {
    await other.query(`begin; insert into malote.messages (topic, type, payload) values ('orders', 't', '{}')`)
    await other.query(`prepare transaction 'forgotten ''one'`)

    const found = await finding('PREPARED_TRANSACTION', { openTransactionMs: 0 })
    expect(found.detail).toContain(`forgotten 'one`)
    expect(codes(await look())).not.toContain('PREPARED_TRANSACTION')
    await other.query(String(found.mend).split(' or ')[0] ?? '')
    await gone('PREPARED_TRANSACTION', { openTransactionMs: 0 })
    await bench.pool.query('truncate malote.messages')
  })

  it('who left a replication slot behind is told', async () => {
    const slot = `left_${String(process.pid)}`
    await other.query('select pg_create_physical_replication_slot($1, true)', [slot])

    const found = await finding('REPLICATION_SLOT')
    expect(found.detail).toContain(slot)
    await other.query(`select pg_drop_replication_slot('${slot}')`)
    await eventually(async () => expect((await look()).filter(({ detail }) => detail.includes(slot))).toEqual([]))
  })
})

describe('a database', () => {
  it('without an index is told which, and the SQL makes it again', async () => {
    for (const { table, name } of expectedIndexes.filter(({ create }) => create.startsWith('create'))) {
      const { rowCount } = await other.query(`select from pg_class where relname = $1`, [table])
      if (rowCount === 0) continue // A table of idempotency: its own test looks at it.
      await other.query(`drop index malote.${name}`)
      const found = await finding('INDEX_MISSING')
      expect(found.detail).toContain(name)
      await other.query(String(found.mend))
      await gone('INDEX_MISSING')
    }
    await other.query('alter table malote.dead_letters drop constraint dead_letters_pkey')
    await other.query(String((await finding('INDEX_MISSING')).mend))
    await gone('INDEX_MISSING')
  })

  it('has exactly the indexes that are expected', async () => {
    const { rows } = await other.query(
      `select tablename as table, indexname as name from pg_indexes
       where schemaname = 'malote' and tablename <> 'archived_messages_default'`,
    )
    const tables = new Set(rows.map((row) => String(row.table)))
    const expected = expectedIndexes.filter(({ table }) => tables.has(table)).map(({ name }) => name)
    expect(rows.map((row) => String(row.name)).sort()).toEqual(expected.sort())
  })

  it('without a trigger, or with one that is off, is told which, and the SQL makes it again', async () => {
    const triggers = `select pg_get_triggerdef(oid) as definition, tgenabled from pg_trigger
      where tgrelid = 'malote.messages'::regclass and not tgisinternal order by tgname`
    const before = (await other.query(triggers)).rows
    expect(before).toHaveLength(expectedTriggers.length)
    const [inserts = '', ...changes] = expectedTriggers.map(({ name }) => name)
    for (const names of [[inserts], changes]) {
      for (const name of names)
        await other.query(
          names.length === 1
            ? `alter table malote.messages disable trigger ${name}`
            : `drop trigger ${name} on malote.messages`,
        )
      for (const name of names) {
        const found = await finding('TRIGGER_MISSING')
        expect(found.detail).toContain(name)
        await other.query(String(found.mend))
      }
    }
    await gone('TRIGGER_MISSING')
    expect((await other.query(triggers)).rows).toEqual(before)
  })

  it('whose vacuum does not get through is told', async () => {
    await other.query(
      `insert into malote.messages (topic, type, payload) select 'o', 't', '{}' from generate_series(1, 500)`,
    )
    // Nothing that is dead by then can be cleared away, neither by autovacuum nor by whoever reads the page.
    const snapshot = await bench.pool.connect()
    await snapshot.query('begin isolation level repeatable read; select 1')
    const deleter = new pg.Client({ connectionString: bench.database.url })
    await deleter.connect()
    await deleter.query('delete from malote.messages')
    await deleter.end() // A session tells what it did when it ends. While it is idle, PostgreSQL 14 never would.

    const { detail } = await finding('AUTOVACUUM_STARVED', { deadRows: 400 })
    expect(Number(/(\d+) dead rows/.exec(detail)?.[1])).toBeGreaterThanOrEqual(500) // Other tests leave some as well.
    expect(codes(await look())).not.toContain('AUTOVACUUM_STARVED')
    await snapshot.query('commit')
    snapshot.release()
    await other.query('vacuum malote.messages')
    await gone('AUTOVACUUM_STARVED', { deadRows: 400 })
  })

  it('near its limit of connections is told', async () => {
    expect((await finding('CONNECTIONS_NEAR_LIMIT', { connectionShare: 0.01 })).detail).toMatch(/^\d+ of \d+/)
    expect(codes(await look({ connectionShare: 1 }))).not.toContain('CONNECTIONS_NEAR_LIMIT')
  })

  it('whose clock is another than this machine has is told', async () => {
    const clock = { ...systemClock, wallMs: () => Date.now() + 3_600_000 }
    const found = (await diagnose(reader, { clock })).find(({ code }) => code === 'CLOCK_SKEW')
    expect(found?.detail).toMatch(/by -(36|359)\d+ ms/)
    expect(codes(await look({ clockSkewMs: 60_000 }))).not.toContain('CLOCK_SKEW')
  })
})

describe('a role', () => {
  it.each(rolePurposes.filter((purpose) => purpose !== 'consumer'))(
    'that lacks any one privilege of a %s is told which',
    async (purpose: RolePurpose) => {
      const lacking = `lacking_${String(process.pid)}`
      await bench.pool.query(`create role ${lacking}; grant ${lacking} to ${role}`)
      await bench.pool.query(grantStatements(lacking, 'reader').join('\n'))
      await bench.pool.query(grantStatements(lacking, purpose).join('\n'))
      await reader.query(`set role ${lacking}`)
      const lack = async (): Promise<string[]> =>
        (await diagnose(reader, { purpose }))
          .filter(({ code }) => code === 'GRANTS_MISSING')
          .map(({ detail }) => detail)
      expect(await lack()).toEqual([])
      for (const { kind, name, privileges } of neededPrivileges(purpose)) {
        if (name === 'migrations') continue // Without the ledger nothing can be looked at.
        if (kind === 'function' && !name.includes('archive')) continue // Public may execute it.
        const privilege = privileges.at(-1) ?? ''
        await bench.pool.query(`revoke ${privilege} on ${kind} malote.${name} from ${lacking}`)
        expect(await lack()).toEqual([expect.stringContaining(`${privilege} on ${kind} ${name}`)])
        await bench.pool.query(`grant ${privilege} on ${kind} malote.${name} to ${lacking}`)
      }
      await reader.query('reset role')
      await bench.pool.query(`drop owned by ${lacking}; drop role ${lacking}`)
    },
    60_000,
  )

  it('that does not see other sessions says so', async () => {
    await bench.pool.query(`revoke pg_read_all_stats from ${role}`)
    const findings = await look()
    await bench.pool.query(`grant pg_read_all_stats to ${role}`)

    expect(findings.find(({ level }) => level === 'unseen')).toMatchObject({
      check: 'sessions',
      mend: expect.stringContaining('pg_read_all_stats'),
    })
    expect((await look()).filter(({ level }) => level === 'unseen')).toEqual([])
  })
})
