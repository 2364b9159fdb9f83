import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { expectedIndexes } from '../src/doctor/expected-indexes.ts'
import { expectedTriggers } from '../src/doctor/expected-triggers.ts'
import { createTopics, diagnose, findMessages, grantStatements, type RolePurpose, systemClock } from '../src/index.ts'
import { neededPrivileges, rolePurposes } from '../src/postgres/grants.ts'
import { eventually } from '../src/testing/index.ts'
import { codes, createDoctorBench, type DoctorBench } from './doctor-bench.ts'
import { aMessage, type RelayBench } from './relay-bench.ts'

let doctor: DoctorBench
let bench: RelayBench

beforeAll(async () => {
  doctor = await createDoctorBench(inject('postgresUrl'))
  bench = doctor.bench
})
beforeEach(() => doctor.begin())
afterEach(() => doctor.end())
afterAll(() => doctor.close())

describe('somebody', () => {
  it('who paused a topic is named, with the reason', async () => {
    const topics = createTopics({ db: bench.as.operator })
    await topics.pause('orders', { by: 'ana', reason: 'the ledger moves house' })
    const [id] = await bench.add(aMessage())

    const found = await doctor.finding('TOPIC_PAUSED')
    expect(found.detail).toMatch(/ana: the ledger moves house/)
    expect(found.mend).toContain('malote topics resume orders')
    expect(await findMessages(doctor.reader, { id: String(id) })).toMatchObject([
      { waitsFor: 'its topic, which ana paused' },
    ])
    await topics.resume('orders')
    await doctor.gone('TOPIC_PAUSED')
  })

  it('who keeps a snapshot open is told by pid and query', async () => {
    await doctor.other.query('begin isolation level repeatable read')
    await doctor.other.query('select 42 as snapshot_kept_open')

    const found = await doctor.finding('OLD_SNAPSHOT', { openTransactionMs: 0 })
    expect(found.detail).toMatch(/pid \d+ .*the-culprit.*snapshot_kept_open/)
    expect(codes(await doctor.look())).not.toContain('OLD_SNAPSHOT')
    await doctor.other.query(String(found.mend).replace(/\d+/, '0')) // The mend is SQL.
    await doctor.other.query('rollback')
    await eventually(async () =>
      expect(
        (await doctor.look({ openTransactionMs: 0 })).filter(({ detail }) => detail.includes('the-culprit')),
      ).toEqual([]),
    )
  })

  it('who wrote messages and does nothing is told by pid', async () => {
    await doctor.other.query('begin')
    await doctor.other.query(`insert into malote.messages (topic, type, payload) values ('orders', 't', '{}')`)

    const found = await doctor.finding('IDLE_WRITER', { idleWriterMs: 0 })
    expect(found.detail).toContain('the-culprit')
    expect(found.since).toMatch(/Z$/)
    expect(codes(await doctor.look())).not.toContain('IDLE_WRITER')
    await doctor.other.query('rollback')
    await doctor.gone('IDLE_WRITER', { idleWriterMs: 0 })
  })

  it('who forgot a prepared transaction is told by its name', async () => {
    await doctor.other.query(`begin; insert into malote.messages (topic, type, payload) values ('orders', 't', '{}')`)
    await doctor.other.query(`prepare transaction 'forgotten ''one'`)

    const found = await doctor.finding('PREPARED_TRANSACTION', { openTransactionMs: 0 })
    expect(found.detail).toContain(`forgotten 'one`)
    expect(codes(await doctor.look())).not.toContain('PREPARED_TRANSACTION')
    await doctor.other.query(String(found.mend).split(' or ')[0] ?? '')
    await doctor.gone('PREPARED_TRANSACTION', { openTransactionMs: 0 })
    await bench.pool.query('truncate malote.messages')
  })

  it('who left a replication slot behind is told', async () => {
    const slot = `left_${String(process.pid)}`
    await doctor.other.query('select pg_create_physical_replication_slot($1, true)', [slot])

    const found = await doctor.finding('REPLICATION_SLOT')
    expect(found.detail).toContain(slot)
    await doctor.other.query(`select pg_drop_replication_slot('${slot}')`)
    await eventually(async () =>
      expect((await doctor.look()).filter(({ detail }) => detail.includes(slot))).toEqual([]),
    )
  })
})

describe('a database', () => {
  it('without an index is told which, and the SQL makes it again', async () => {
    for (const { table, name } of expectedIndexes.filter(({ create }) => create.startsWith('create'))) {
      const { rowCount } = await doctor.other.query(`select from pg_class where relname = $1`, [table])
      if (rowCount === 0) continue // A table of idempotency: its own test looks at it.
      await doctor.other.query(`drop index malote.${name}`)
      const found = await doctor.finding('INDEX_MISSING')
      expect(found.detail).toContain(name)
      await doctor.other.query(String(found.mend))
      await doctor.gone('INDEX_MISSING')
    }
    await doctor.other.query('alter table malote.dead_letters drop constraint dead_letters_pkey')
    await doctor.other.query(String((await doctor.finding('INDEX_MISSING')).mend))
    await doctor.gone('INDEX_MISSING')
  })

  it('has exactly the indexes that are expected', async () => {
    const { rows } = await doctor.other.query(
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
    const before = (await doctor.other.query(triggers)).rows
    expect(before).toHaveLength(expectedTriggers.length)
    const [inserts = '', ...changes] = expectedTriggers.map(({ name }) => name)
    for (const names of [[inserts], changes]) {
      for (const name of names)
        await doctor.other.query(
          names.length === 1
            ? `alter table malote.messages disable trigger ${name}`
            : `drop trigger ${name} on malote.messages`,
        )
      for (const name of names) {
        const found = await doctor.finding('TRIGGER_MISSING')
        expect(found.detail).toContain(name)
        await doctor.other.query(String(found.mend))
      }
    }
    await doctor.gone('TRIGGER_MISSING')
    expect((await doctor.other.query(triggers)).rows).toEqual(before)
  })

  it('whose vacuum does not get through is told', async () => {
    await doctor.other.query(
      `insert into malote.messages (topic, type, payload) select 'o', 't', '{}' from generate_series(1, 500)`,
    )
    // Nothing that is dead by then can be cleared away, neither by autovacuum nor by whoever reads the page.
    const snapshot = await bench.pool.connect()
    await snapshot.query('begin isolation level repeatable read; select 1')
    const deleter = new pg.Client({ connectionString: bench.database.url })
    await deleter.connect()
    await deleter.query('delete from malote.messages')
    await deleter.end() // A session tells what it did when it ends. While it is idle, PostgreSQL 14 never would.

    const { detail } = await doctor.finding('AUTOVACUUM_STARVED', { deadRows: 400 })
    expect(Number(/(\d+) dead rows/.exec(detail)?.[1])).toBeGreaterThanOrEqual(500) // Other tests leave some as well.
    expect(codes(await doctor.look())).not.toContain('AUTOVACUUM_STARVED')
    await snapshot.query('commit')
    snapshot.release()
    await doctor.other.query('vacuum malote.messages')
    await doctor.gone('AUTOVACUUM_STARVED', { deadRows: 400 })
  })

  it('near its limit of connections is told', async () => {
    expect((await doctor.finding('CONNECTIONS_NEAR_LIMIT', { connectionShare: 0.01 })).detail).toMatch(/^\d+ of \d+/)
    expect(codes(await doctor.look({ connectionShare: 1 }))).not.toContain('CONNECTIONS_NEAR_LIMIT')
  })

  it('whose clock is another than this machine has is told', async () => {
    const clock = { ...systemClock, wallMs: () => Date.now() + 3_600_000 }
    const found = (await diagnose(doctor.reader, { clock })).find(({ code }) => code === 'CLOCK_SKEW')
    expect(found?.detail).toMatch(/by -(36|359)\d+ ms/)
    expect(codes(await doctor.look({ clockSkewMs: 60_000 }))).not.toContain('CLOCK_SKEW')
  })
})

describe('a role', () => {
  it.each(rolePurposes.filter((purpose) => purpose !== 'consumer'))(
    'that lacks any one privilege of a %s is told which',
    async (purpose: RolePurpose) => {
      const lacking = `lacking_${String(process.pid)}`
      await bench.pool.query(`create role ${lacking}; grant ${lacking} to ${doctor.role}`)
      await bench.pool.query(grantStatements(lacking, 'reader').join('\n'))
      await bench.pool.query(grantStatements(lacking, purpose).join('\n'))
      await doctor.reader.query(`set role ${lacking}`)
      const lack = async (): Promise<string[]> =>
        (await diagnose(doctor.reader, { purpose }))
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
      await doctor.reader.query('reset role')
      await bench.pool.query(`drop owned by ${lacking}; drop role ${lacking}`)
    },
  )

  it('that does not see other sessions says so', async () => {
    await bench.pool.query(`revoke pg_read_all_stats from ${doctor.role}`)
    const findings = await doctor.look()
    await bench.pool.query(`grant pg_read_all_stats to ${doctor.role}`)

    expect(findings.find(({ level }) => level === 'unseen')).toMatchObject({
      check: 'sessions',
      mend: expect.stringContaining('pg_read_all_stats'),
    })
    expect((await doctor.look()).filter(({ level }) => level === 'unseen')).toEqual([])
  })
})
