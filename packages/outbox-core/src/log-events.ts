import type { RelayEvent } from './events.ts'

/** The part of a logger that is used: pino and its relatives fit, and so does `console` with its arguments the other way round. */
export interface EventLogger {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void
  info(fields: Readonly<Record<string, unknown>>, message: string): void
  warn(fields: Readonly<Record<string, unknown>>, message: string): void
  error(fields: Readonly<Record<string, unknown>>, message: string): void
}

type Level = keyof EventLogger

/** By what an operator does about it: look at once, look some time, know, or search for. */
const levels: Readonly<Record<RelayEvent['type'], Level>> = {
  'relay.started': 'info',
  'relay.stopped': 'info',
  'lanes.acquired': 'info',
  'lanes.released': 'info',
  'lanes.lost': 'warn',
  'lanes.restored': 'error',
  'batch.published': 'debug',
  'batch.settled': 'debug',
  'message.retry-scheduled': 'warn',
  'message.dead-lettered': 'error',
  'key.held': 'error',
  'outage.started': 'error',
  'outage.ended': 'info',
  'database.disconnected': 'error',
  'database.reconnected': 'info',
  'doorbell.unavailable': 'warn',
  'rescan.found-missed': 'error',
  'maintenance.done': 'info',
  'maintenance.failed': 'error',
}

/**
 * What to give `createRelay` as `onEvent` so that everything it does is logged, one line for each event, with the event's own
 * fields. Batches are `debug`. No event holds a payload, a header value or an ordering key, so no line does.
 *
 * @param logger - pino, or anything with its four methods
 */
export function logEvents(logger: EventLogger): (event: RelayEvent) => void {
  return ({ type, ...fields }) => {
    // Errors under the name that loggers know how to print; the rest as it is.
    const { error, ...rest } = fields as { error?: unknown }
    const level = levels[type] ?? 'warn'
    logger[level](
      error === undefined ? { event: type, ...rest } : { event: type, ...rest, err: error },
      `malote ${type}`,
    )
  }
}
