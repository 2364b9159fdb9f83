import { systemClock } from '../clock.ts'
import type { EventLogger } from '../log-events.ts'
import type { RelayConfig } from './config.ts'
import { serveHealth } from './health-server.ts'
import { type ServedOutbox, serveOutbox } from './served-outbox.ts'
import { signalled } from './signalled.ts'

export interface RelayProcessOptions {
  /** One for each outbox; at least one. */
  readonly configs: readonly RelayConfig[]
  /** Of those that name none. Undefined: as the variables PGHOST and so on say. */
  readonly databaseUrl: string | undefined
  readonly host: string
  /** Of the health endpoints; 0 takes any that is free. */
  readonly port: number
}

/** Runs a relay for each outbox until SIGTERM or SIGINT, then stops them with grace. Resolves when everything is closed. */
export async function runRelayProcess({ configs, databaseUrl, host, port }: RelayProcessOptions): Promise<void> {
  const logger = configs[0]?.logger ?? jsonLogger
  const publishers = new Set(configs.map(({ publisher }) => publisher))
  const outboxes: ServedOutbox[] = []
  try {
    for (const config of configs)
      outboxes.push(serveOutbox(config, config.databaseUrl ?? databaseUrl, config.logger ?? jsonLogger))
    const health = await serveHealth({ host, port, outboxes })
    const stopped = signalled()
    for (const outbox of outboxes) outbox.start()
    logger.info({ host, port: health.port }, 'malote serves /healthz, /readyz and /metrics')
    const signal = await stopped
    logger.info({ signal }, 'malote stops: finishing what is in flight')
    await forEach(outboxes, (outbox) => outbox.stop())
    await health.close()
  } finally {
    // Also of one that could not begin: a connection left open would keep the process from ending.
    await forEach(publishers, (publisher) => publisher.close())
  }
}

/** All at once, and none is left out because another fails. @throws the first failure */
async function forEach<T>(all: Iterable<T>, end: (one: T) => Promise<void>): Promise<void> {
  const ended = await Promise.allSettled([...all].map(end))
  for (const one of ended) if (one.status === 'rejected') throw one.reason
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
