import pg from 'pg'
import { type EventLogger, logEvents } from '../log-events.ts'
import type { RelayEvent } from '../events.ts'
import { createRelay } from '../relay/relay.ts'
import { outboxStatus } from '../status.ts'
import type { RelayConfig } from './config.ts'
import { serveHealth } from './health-server.ts'
import { signalled } from './signalled.ts'
import { systemClock } from '../clock.ts'

export interface RelayProcessOptions {
  readonly config: RelayConfig
  /** Undefined: as the variables PGHOST and so on say. */
  readonly databaseUrl: string | undefined
  readonly schema: string | undefined
  readonly host: string
  /** Of the health endpoints; 0 takes any that is free. */
  readonly port: number
}

/** Connections of a relay, and one for metrics. */
const poolSize = 5

/** Runs a relay until SIGTERM or SIGINT, then stops it with grace. Resolves when everything is closed. */
export async function runRelayProcess(options: RelayProcessOptions): Promise<void> {
  const { config, databaseUrl, host, port } = options
  const schema = options.schema === undefined ? {} : { schema: options.schema }
  const logger = config.logger ?? jsonLogger
  const log = logEvents(logger)
  const connection = databaseUrl === undefined ? {} : { connectionString: databaseUrl }
  const pool = new pg.Pool({ max: poolSize, application_name: 'malote relay', ...connection })
  let isReady = false
  const onEvent = (event: RelayEvent): void => {
    if (event.type === 'relay.started') isReady = true
    if (event.type === 'database.disconnected' || event.type === 'relay.stopped') isReady = false
    log(event)
  }
  const relay = createRelay({ ...config.relay, ...schema, pool, publisher: config.publisher, onEvent })
  const statusSchema = options.schema ?? config.relay?.schema
  const health = await serveHealth({
    host,
    port,
    isReady: () => isReady,
    status: () => outboxStatus(pool, statusSchema === undefined ? {} : { schema: statusSchema }),
  })
  const stopped = signalled()
  relay.start()
  logger.info({ host, port: health.port }, 'malote serves /healthz, /readyz and /metrics')
  const signal = await stopped
  isReady = false
  logger.info({ signal }, 'malote stops: finishing what is in flight')
  await relay.stop(config.graceMs === undefined ? {} : { graceMs: config.graceMs })
  await config.publisher.close()
  await health.close()
  await pool.end()
}

const jsonLine =
  (level: string) =>
  (fields: Readonly<Record<string, unknown>>, message: string): void => {
    const { err, ...rest } = fields
    // An error has no enumerable fields: it would be an empty object.
    const error =
      err === undefined ? {} : { err: err instanceof Error ? { name: err.name, message: err.message } : err }
    process.stdout.write(
      `${JSON.stringify({ time: new Date(systemClock.wallMs()).toISOString(), level, ...rest, ...error, msg: message })}\n`,
    )
  }

/** One JSON line for each event, as collectors of logs like them. Batches, which come by the hundred, are left out. */
const jsonLogger: EventLogger = {
  debug: () => {},
  info: jsonLine('info'),
  warn: jsonLine('warn'),
  error: jsonLine('error'),
}
