import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { pauseProcess } from '@malote/testing/pause-process'
import { type PooledUrl, startPgbouncer } from '@malote/testing/services/pgbouncer'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { findMessages, outboxStatus } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'
import { createDoctorBench, type DoctorBench } from './doctor-bench.ts'
import { aMessage, type RelayBench } from './relay-bench.ts'

/** Null where there is none and none can be installed: the test is then listed as not run. */
const pooler: PooledUrl | null = await startPgbouncer(inject('postgresUrl')).catch((error: unknown) => {
  if (process.env['CI'] === 'true') throw error
  console.warn(`the test through a pooler is not run: ${String(error)}`)
  return null
})
let doctor: DoctorBench
let bench: RelayBench

beforeAll(async () => {
  doctor = await createDoctorBench(inject('postgresUrl'))
  bench = doctor.bench
})
beforeEach(() => doctor.begin())
afterEach(() => doctor.end())
afterAll(async () => {
  await doctor.close()
  await pooler?.close()
})

describe('a relay', () => {
  it('that hangs is told from one that was killed', async () => {
    const program = fileURLToPath(new URL('race/relay-process.ts', import.meta.url))
    const options = { url: bench.urlAs.relay, leaseMs: 600, presence: true }
    const child = spawn(process.execPath, ['--conditions=@malote/source', program, JSON.stringify(options)])
    await eventually(async () => expect((await outboxStatus(doctor.reader)).relays).toMatchObject([{ isAlive: true }]))
    const goOn = await pauseProcess(child.pid ?? 0)

    const hung = await doctor.finding('RELAY_HUNG')
    child.kill('SIGKILL')
    goOn()
    await once(child, 'exit')
    const dead = await doctor.finding('RELAY_DEAD')

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
      const { rows } = await doctor.other.query('select count(distinct owner)::int as owners from malote.lanes')
      expect(rows[0]?.owners).toBe(2)
    })
    const goOn = await pauseProcess(paused.pid ?? 0)
    killed.kill('SIGKILL')

    const found = await doctor.finding('LANES_WITHOUT_RELAY')
    expect(found).toMatchObject({ level: 'warning', detail: expect.stringMatching(/^\d+ of 64 lanes/) })
    goOn()
    await doctor.gone('LANES_WITHOUT_RELAY')
    paused.kill('SIGKILL')
    await Promise.all(exits)
  })

  it('whose lease is no longer than a publish is told of', async () => {
    bench.relay({ leaseMs: 5_000, publishTimeoutMs: 5_000 }).relay.start()

    expect((await doctor.finding('LEASE_TOO_SHORT')).detail).toContain('5000 ms')
    await bench.reset()
    await doctor.gone('LEASE_TOO_SHORT')
  })

  it.skipIf(pooler === null)('behind a pooler in transaction mode is told of', async () => {
    const { port } = new URL((pooler as PooledUrl).url)
    const pool = new pg.Pool({ connectionString: Object.assign(new URL(bench.database.url), { port }).toString() })
    pool.on('error', () => {}) // The pooler ends sessions when it stops.
    const { relay } = bench.relay({ pool })
    relay.start()

    expect((await doctor.finding('POOLER_IN_TRANSACTION_MODE')).mend).toContain('direct connection')
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

    expect((await doctor.finding('DOORBELL_DEAD')).level).toBe('warning')
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

    const found = await doctor.finding('DESTINATION_UNAVAILABLE')
    expect(found).toMatchObject({ level: 'problem', since: expect.stringMatching(/Z$/) })
    expect(found.detail).toMatch(/queue-of-bills.*it does not exist/)
    expect(await findMessages(doctor.reader, { id: String(id) })).toMatchObject([
      { state: 'ready', waitsFor: 'queue-of-bills, which takes nothing' },
    ])
    broker.failWith(() => null)
    await doctor.gone('DESTINATION_UNAVAILABLE')
  })

  it('whose publishes fail while others get through warns, and goes on', async () => {
    const { relay, broker } = bench.relay({ backoff: () => 50, maxAttempts: 1_000 })
    broker.failWith(({ type }) => (type === 'bad' ? { kind: 'retryable', code: 'THROTTLED', message: 'slowly' } : null))
    await bench.add(aMessage({ type: 'bad' }), aMessage())
    relay.start()

    expect((await doctor.finding('RETRIES')).detail).toContain('slowly')
  })
})
