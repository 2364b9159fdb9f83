import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { preparing } from '../harness-error.ts'
import { type PooledUrl, startPgbouncer } from '../services/pgbouncer.ts'
import { startPostgres, type PostgresService } from '../services/postgres.ts'
import { type Broker, brokerKind, type BrokerName } from './brokers/broker.ts'
import { type RoleName, type RoleProcess, startRoleProcess } from './processes.ts'
import { type Proxy, startProxy } from './proxy.ts'
import { createDatabaseClock, type DatabaseClock } from './database-clock.ts'
import { createLinks, type Links } from './namespaces.ts'
import type { FaultKind } from './plan.ts'
import { curableKeys } from './roles/curing-publisher.ts'
import { hungKeys } from './roles/hanging-publisher.ts'
import type { Variant } from './roles/role.ts'
import { createSchema } from './schema.ts'

export interface ClusterOptions {
  readonly seed: number
  readonly broker: BrokerName
  readonly relays: number
  readonly writers: number
  readonly consumers: number
  /** Ordering keys the writers draw from. */
  readonly keys: number
  readonly leaseMs: number
  readonly presence: boolean
  readonly variant: Variant
  /** Whether writers write messages that no consumer can handle. */
  readonly refuses: boolean
  /** What is going to be done: some of it needs a set-up of its own. */
  readonly kinds: readonly FaultKind[]
  /** Whether relays keep the library's own attempts, pauses and limits, and no message is made to fail. */
  readonly defaults: boolean
  /** Leave the journals and the database's data where they are, for a look. */
  readonly keep: boolean
  readonly say: (line: string) => void
}

/** A place for a process: whoever dies in it is replaced, as a supervisor would. */
export interface Slot {
  readonly role: RoleName
  /** The process now in it; null while it is being replaced or after it left. */
  readonly process: RoleProcess | null
  /** Its own way to the database and to the broker. */
  readonly database: Proxy
  readonly broker: Proxy | null
  /** Its own cables to both, where they may be pulled. */
  readonly links: Links | null
  /** Whether a dead process is replaced. */
  isWanted: boolean
  start(): Promise<void>
}

/** PostgreSQL, a broker, and the processes that use them. */
export interface Cluster {
  readonly postgres: PostgresService
  /** Between every process and PostgreSQL, where one may be restarted. */
  readonly pooler: PooledUrl | null
  /** Where it can be moved. */
  readonly databaseClock: DatabaseClock | null
  readonly broker: Broker
  readonly journals: string
  /** The runner's own connections, which bypass every proxy. */
  readonly pool: pg.Pool
  readonly slots: readonly Slot[]
  readonly leaseMs: number
  /** What processes said last that ended by themselves. */
  readonly crashes: readonly string[]
  of(role: RoleName): readonly Slot[]
  addRelay(): Promise<Slot>
  /** Stops every process gracefully. @returns the names of those that had to be killed */
  stopRole(role: RoleName): Promise<readonly string[]>
  close(): Promise<void>
}

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'malote-chaos-'))
  chmodSync(folder, 0o755) // As root, the server runs as somebody else and must get through to its data.
  const keys = keysOf(options)
  const has = (...kinds: readonly FaultKind[]): boolean => kinds.some((kind) => options.kinds.includes(kind))
  const databaseClock = has('move-database-clock') ? createDatabaseClock(folder) : null
  // So many can be taken away within a second.
  const connections = has('exhaust-connections') ? 120 : 300
  const journals = join(folder, 'journals')
  mkdirSync(journals)
  const [postgres, broker] = await Promise.all([
    startPostgres({
      dataDir: join(folder, 'data'),
      settings: { max_connections: connections },
      ...(databaseClock === null ? {} : { env: databaseClock.env }),
    }),
    preparing('start the broker', async () => (await brokerKind(options.broker)).start()),
  ])
  const pool = new pg.Pool({
    connectionString: postgres.url,
    application_name: 'runner',
    connectionTimeoutMillis: 5_000,
  })
  // The server is restarted on purpose. A statement under way fails with it; between two nobody hears it.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  await createSchema(pool, [...keys, ...hungKeys, ...curableKeys], databaseClock !== null)
  // Sessions of their own, so that all works that works without one.
  const pooler = has('restart-pgbouncer') ? await startPgbouncer(postgres.url, 'session', 150) : null
  const isPartitioned = has('partition-database', 'partition-broker')
  const parts = { options, postgres, pooler, databaseClock, broker, journals, keys, isPartitioned, crashes: [] }
  const cluster = new RunningCluster(parts, pool, folder)
  const counts: [RoleName, number][] = [
    ['relay', options.relays],
    ['writer', options.writers],
    ['consumer', options.consumers],
  ]
  for (const [role, count] of counts) for (let started = 0; started < count; started++) await cluster.addSlot(role)
  return cluster
}

class RunningCluster implements Cluster {
  readonly postgres: PostgresService
  readonly pooler: PooledUrl | null
  readonly databaseClock: DatabaseClock | null
  readonly broker: Broker
  readonly journals: string
  readonly pool: pg.Pool
  readonly slots: Slot[] = []
  readonly leaseMs: number
  readonly crashes: readonly string[]
  readonly #parts: SlotParts
  readonly #folder: string

  constructor(parts: SlotParts, pool: pg.Pool, folder: string) {
    this.postgres = parts.postgres
    this.pooler = parts.pooler
    this.databaseClock = parts.databaseClock
    this.broker = parts.broker
    this.journals = parts.journals
    this.crashes = parts.crashes
    this.pool = pool
    this.leaseMs = parts.options.leaseMs
    this.#parts = parts
    this.#folder = folder
  }

  of(role: RoleName): readonly Slot[] {
    return this.slots.filter((slot) => slot.role === role)
  }

  addRelay(): Promise<Slot> {
    return this.addSlot('relay')
  }

  async addSlot(role: RoleName): Promise<Slot> {
    const slot = await createSlot(this.#parts, role, this.of(role).length + 1)
    this.slots.push(slot)
    await slot.start()
    return slot
  }

  async stopRole(role: RoleName): Promise<readonly string[]> {
    const stopped = await Promise.all(
      this.of(role).map(async (slot) => {
        slot.isWanted = false
        const { process } = slot
        return process === null || (await process.stop()) ? null : process.name
      }),
    )
    return stopped.filter((name) => name !== null)
  }

  async close(): Promise<void> {
    const { options, postgres, broker } = this.#parts
    for (const slot of this.slots) {
      slot.isWanted = false
      slot.process?.signal('SIGKILL')
    }
    await Promise.all(this.slots.flatMap((slot) => slot.process?.exited ?? []))
    await Promise.all(this.slots.flatMap((slot) => [slot.database.close(), slot.broker?.close() ?? Promise.resolve()]))
    for (const { links } of this.slots) links?.close()
    await this.pool.end()
    await this.pooler?.close()
    await broker.close()
    await postgres.stop('fast')
    if (options.keep) return options.say(`kept ${this.#folder}`)
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** The ordering keys that writers draw from and operators hold. */
export const keysOf = ({ keys }: Pick<ClusterOptions, 'keys'>): readonly string[] =>
  Array.from({ length: keys }, (_, number) => `key-${String(number)}`)

interface SlotParts {
  readonly options: ClusterOptions
  readonly postgres: PostgresService
  readonly pooler: PooledUrl | null
  readonly databaseClock: DatabaseClock | null
  readonly broker: Broker
  readonly isPartitioned: boolean
  readonly journals: string
  readonly keys: readonly string[]
  readonly crashes: string[]
}

async function createSlot(
  { options, postgres, pooler, broker, journals, keys, isPartitioned, crashes }: SlotParts,
  role: RoleName,
  number: number,
): Promise<Slot> {
  const links = isPartitioned && role === 'relay' ? createLinks() : null
  const [toDatabase, toBroker] = (['database', 'broker'] as const).map((way) =>
    links === null ? null : { address: links.address(way), peer: links.peer(way) },
  )
  const database = await startProxy(pooler?.port ?? postgres.port, toDatabase)
  const way = broker.port === null ? null : await startProxy(broker.port, toBroker)
  links?.listensOn('database', database.port)
  if (way !== null) links?.listensOn('broker', way.port)
  const databaseUrl = Object.assign(new URL(postgres.url), {
    port: String(database.port),
    hostname: toDatabase?.address ?? '127.0.0.1',
  }).toString()
  let process: RoleProcess | null = null
  let incarnation = 0
  const slot: Slot = {
    role,
    database,
    broker: way,
    links,
    isWanted: true,
    get process() {
      return process
    },
    start: async () => {
      incarnation++
      const started = await startRoleProcess(
        role,
        {
          name: `${role}-${String(number)}.${String(incarnation)}`,
          seed: options.seed + number * 1_000 + incarnation,
          databaseUrl,
          broker: way === null ? broker.settings : broker.through(way.port, toBroker?.address),
          journals,
          leaseMs: options.leaseMs,
          keys,
          presence: options.presence,
          variant: options.variant,
          refuses: options.refuses,
          defaults: options.defaults,
          isCurable: options.kinds.includes('replay-dead-letters'),
        },
        links?.command,
      )
      process = started
      if (!slot.isWanted) started.signal('SIGKILL') // The run ended while it was starting.
      void started.exited.then((crash) => {
        if (crash !== null && slot.isWanted) crashes.push(crash)
        return replace()
      })
    },
  }
  async function replace(): Promise<void> {
    process = null
    while (slot.isWanted && slot.process === null) await slot.start().catch(() => {}) // No database at this moment: again.
  }
  return slot
}
