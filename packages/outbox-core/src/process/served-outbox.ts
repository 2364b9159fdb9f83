import pg from 'pg'
import type { RelayEvent } from '../events.ts'
import { type EventLogger, logEvents } from '../log-events.ts'
import { createRelay } from '../relay/relay.ts'
import { outboxStatus, type OutboxStatus } from '../status.ts'
import type { RelayConfig } from './config.ts'

/** One outbox of a relay process: its relay and what it tells of itself. Its publisher is closed by whoever opened it. */
export interface ServedOutbox {
  /** Undefined where the process has one outbox without a name. */
  readonly name: string | undefined
  /** The relay has its session with the database, and nobody said stop. */
  isReady(): boolean
  /** Rejects within seconds when the database does not answer, so that it does not keep what is known of the others. */
  status(): Promise<OutboxStatus>
  start(): void
  /** Finishes what is in flight, then gives the connections back. */
  stop(): Promise<void>
}

const relayConnections = 4

/** @throws OutboxError `INVALID_OPTION` for options of the relay that cannot be */
export function serveOutbox(config: RelayConfig, databaseUrl: string | undefined, logger: EventLogger): ServedOutbox {
  const connection = databaseUrl === undefined ? {} : { connectionString: databaseUrl }
  const pool = new pg.Pool({ max: relayConnections, application_name: 'malote relay', ...connection })
  const looking = new pg.Pool({
    max: 1,
    application_name: 'malote metrics',
    connectionTimeoutMillis: 3_000, // With the next less than the ten seconds that Prometheus waits.
    query_timeout: 5_000,
    ...connection,
  })
  const schema = config.relay?.schema
  const log = logEvents(config.outbox === undefined ? logger : naming(config.outbox, logger))
  let [isReady, isStopping] = [false, false]
  const onEvent = (event: RelayEvent): void => {
    if (event.type === 'relay.started') isReady = true
    if (event.type === 'database.disconnected' || event.type === 'relay.stopped') isReady = false
    log(event)
  }
  const relay = createRelay({ ...config.relay, pool, publisher: config.publisher, onEvent })
  return {
    name: config.outbox,
    isReady: () => isReady && !isStopping,
    status: () => outboxStatus(looking, schema === undefined ? {} : { schema }),
    start: () => relay.start(),
    stop: async () => {
      isStopping = true
      await relay.stop(config.graceMs === undefined ? {} : { graceMs: config.graceMs })
      await Promise.all([pool.end(), looking.end()])
    },
  }
}

const naming = (outbox: string, logger: EventLogger): EventLogger => ({
  debug: (fields, message) => logger.debug({ outbox, ...fields }, message),
  info: (fields, message) => logger.info({ outbox, ...fields }, message),
  warn: (fields, message) => logger.warn({ outbox, ...fields }, message),
  error: (fields, message) => logger.error({ outbox, ...fields }, message),
})
