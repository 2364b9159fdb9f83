import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'
import { createDatabase, createPool } from '../database/database.ts'
import { migrateAll, migrateWitness } from '../database/migrate.ts'
import { prepareBroker } from '../messaging/broker.ts'
import { demoSecret, openAccounts } from './accounts.ts'
import { type DemoOptions, UsageError } from './arguments.ts'
import type { Child } from '../supervisor/child.ts'
import { startControl } from './control-server.ts'
import { type DataFolder, openDataFolder } from './data-folder.ts'
import { createFeedProgress, type FeedProgress } from './feed-progress.ts'
import { feedOrders, type FeedResult } from './feed-orders.ts'
import { seededRandom } from '../process/random.ts'
import type { Evidence } from './invariants.ts'
import { isQuiet, measure, type Measurement, verify } from './measure.ts'
import type { OrderLine } from './order-line.ts'
import type { Processes } from './processes.ts'
import { createRelayKiller, type RelayKiller } from './relay-killer.ts'

/** What the demo tells whoever watches it. */
export interface Watcher {
  said(what: string): void
  progressed(state: ProgressState): void
}

export interface ProgressState {
  readonly total: number
  readonly answered: number
  readonly measured: Measurement
  readonly relayKills: number
}

export interface DemoRun extends Evidence {
  /** Where to look while it stays up. */
  readonly urls: Readonly<Record<string, string>>
}

/** Longest time without any change before the run is called stuck. Above every backoff and visibility timeout of the demo. */
const stuckMs = 90_000

/**
 * Runs the whole brokerage once: services, roles, requests, kills, until nothing is on its way any more. Leaves everything
 * running; `processes.stop()` ends it.
 *
 * @throws Error when a process ends by itself, or the API stops answering
 */
export async function runDemo(
  options: DemoOptions,
  lines: readonly OrderLine[],
  processes: Processes,
  watcher: Watcher,
): Promise<DemoRun> {
  const folder = options.data === null ? null : await openDataFolder(options.data, options.broker)
  if (folder !== null && !folder.postgres.startsWith(folder.path))
    watcher.said(
      `PostgreSQL does not run as root and may not enter ${folder.path}: its files are in ${folder.postgres}`,
    )
  watcher.said(`starting PostgreSQL and ${options.broker}`)
  const services = await startServices(options, folder, processes)
  const controlPool = createPool(services.urls['database'] ?? '', 2)
  const control = await startControl({ supervisor: processes.supervisor, services, pool: controlPool })
  processes.watch({ said: (what) => watcher.said(what), roleStarted: () => {} })
  processes.watch(control)
  processes.atStop(async () => {
    await control.close()
    await controlPool.end()
  })
  const env = {
    CONTROL_URL: control.url,
    DATABASE_URL: services.urls['database'] ?? '',
    BROKER: options.broker,
    BROKER_URL: services.urls['broker'] ?? '',
    // Kept with the data: a new secret would forget every key of the run that is to be finished.
    IDEMPOTENCY_PEPPER: demoSecret,
    JWT_SECRET: demoSecret,
    CPF_SECRET: demoSecret,
    DEMO: '1',
    WITNESS: '1',
    LOG_LEVEL: 'error',
    REQUESTS_PER_MINUTE: '1000000',
    // Whoever looks at a demo that stays up does not wait five minutes to be asked, nor two seconds for a retry.
    ...(options.keep ? { ORDER_TIMEOUT_MS: '15000' } : {}),
    B3_RETRY_MS: '250',
    B3_BREAKER_OPEN_MS: '500',
  }
  const pool = createPool(env.DATABASE_URL, 4)
  try {
    await prepare(pool, env)
    return await Promise.race([
      processes.unexpectedEnd,
      runRoles({ options, lines, processes, watcher, services, env, pool }),
    ])
  } finally {
    await pool.end()
  }
}

async function startServices(options: DemoOptions, folder: DataFolder | null, processes: Processes): Promise<Child> {
  if (folder === null) return processes.startServices({ BROKER: options.broker })
  const env = { BROKER: options.broker, DATA_DIR: folder.path, POSTGRES_DIR: folder.postgres }
  try {
    return await processes.startServices(env)
  } catch (error) {
    throw new UsageError(
      `--data ${String(options.data)}: PostgreSQL or the queues cannot start from it (above is why): it is damaged or may not be read; use another folder`,
      { cause: error },
    )
  }
}

async function prepare(pool: pg.Pool, env: Readonly<Record<string, string>>): Promise<void> {
  await migrateAll(pool)
  await migrateWitness(pool)
  await openAccounts(createDatabase(pool))
  await prepareBroker(env)
}

interface RunContext {
  readonly options: DemoOptions
  readonly lines: readonly OrderLine[]
  readonly processes: Processes
  readonly watcher: Watcher
  readonly services: Child
  readonly env: Readonly<Record<string, string>>
  readonly pool: pg.Pool
}

async function runRoles(context: RunContext): Promise<DemoRun> {
  const { options, lines, processes, watcher, env, pool } = context
  watcher.said('starting the exchange, the API, the relay and the consumers')
  const progress = createFeedProgress(lines.length)
  const done = new AbortController()
  const [{ api, exchange }, killer] = await Promise.all([
    processes.startRoles(env),
    createRelayKiller({
      kills: options.killRelay,
      startRelay: (holdAt) => processes.startRelay(env, holdAt),
      killRelay: () => processes.killRelay(),
      progress,
      done: done.signal,
      random: seededRandom(options.seed),
    }),
  ])
  const outage = breakBroker(context, progress)
  const watching = watchUntilQuiet(context, progress, killer, () => feed !== undefined)
  let feed: FeedResult | undefined
  const feeding = feedOrders({
    apiUrl: api.urls['api'] ?? '',
    lines,
    signal: done.signal,
    onAnswer: () => progress.note(),
  }).then((result) => (feed = result))
  const killerFailed = new Promise<never>((_resolve, reject) => {
    killer.finished.catch(reject)
  })
  const [measured, fed] = await Promise.race([killerFailed, Promise.all([watching, feeding, outage])])
  done.abort()
  await killer.finished
  return {
    feed: fed,
    measured,
    verified: await verify(pool, fed.orderIds),
    relayKills: killer.kills,
    relayKillsWanted: options.killRelay,
    ...processes.tally,
    brokerOutage: options.brokerOutageSeconds > 0,
    urls: { ...api.urls, ...exchange.urls, database: env['DATABASE_URL'] ?? '', broker: env['BROKER_URL'] ?? '' },
  }
}

/** Stops the broker after two fifths of the requests, and starts it again. */
async function breakBroker({ options, services, watcher }: RunContext, progress: FeedProgress): Promise<void> {
  if (options.brokerOutageSeconds === 0) return
  await progress.whenAnswered(Math.floor(progress.total * 0.4))
  watcher.said(`stopping the broker for ${String(options.brokerOutageSeconds)} s`)
  services.send({ type: 'broker-outage', begins: true })
  await pause(options.brokerOutageSeconds * 1_000)
  services.send({ type: 'broker-outage', begins: false })
}

/** Looks at the database until all requests are answered and nothing moves; gives the last look also when nothing moves too early. */
async function watchUntilQuiet(
  { pool, watcher, options }: RunContext,
  progress: FeedProgress,
  killer: RelayKiller,
  isFed: () => boolean,
): Promise<Measurement> {
  let before = ''
  let changedAt = performance.now()
  for (;;) {
    const measured = await measure(pool)
    watcher.progressed({ total: progress.total, answered: progress.answered, measured, relayKills: killer.kills })
    const state = JSON.stringify([measured, progress.answered, killer.kills])
    if (state !== before) changedAt = performance.now()
    before = state
    const idleMs = performance.now() - changedAt
    if (isFed() && isFinished(measured, killer, options.killRelay, idleMs)) return measured
    if (idleMs > stuckMs + options.brokerOutageSeconds * 1_000) return measured
    await pause(measured.messagesAdded > 5_000 ? 500 : 200)
  }
}

/** What a killed relay sent twice may be delivered after everything else: it is waited for, not long. */
function isFinished(measured: Measurement, killer: RelayKiller, killsWanted: number, idleMs: number): boolean {
  if (!isQuiet(measured)) return false
  if (measured.messagesAdded === 0) return true
  return (killer.kills >= killsWanted && measured.duplicateDeliveries > 0) || killsWanted === 0 || idleMs > 5_000
}
