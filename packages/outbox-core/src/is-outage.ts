import { HandlerOutageError, PublishOutageError } from './errors.ts'

/**
 * Says whether an error means that something is away which somebody will mend: a refused, reset or timed-out connection, a
 * PostgreSQL server that shuts down, starts, is read-only after a failover or is out of resources, an exhausted pool,
 * `PublishOutageError`, `HandlerOutageError`. Looks at the error, its causes and the errors an `AggregateError` holds.
 *
 * The default of a consumer's option `isOutage`. Not recognised: an answer that merely takes too long (an aborted request, a
 * cancelled statement), because one message may be the reason for it.
 */
export function isOutage(error: unknown): boolean {
  return isOutageWithin(error, maxDepth)
}

/** A chain of causes may be a circle. */
const maxDepth = 8

function isOutageWithin(error: unknown, depth: number): boolean {
  if (typeof error !== 'object' || error === null || depth === 0) return false
  if (error instanceof HandlerOutageError || error instanceof PublishOutageError) return true
  const { code, name, message, cause, errors } = error as Partial<Record<keyof AggregateError | 'code', unknown>>
  if (typeof code === 'string' && (codes.has(code) || sqlStates.test(code))) return true
  if (typeof name === 'string' && names.has(name)) return true
  if (code === undefined && typeof message === 'string' && messages.test(message)) return true
  if (Array.isArray(errors) && errors.length > 0 && errors.every((one) => isOutageWithin(one, depth - 1))) return true
  return isOutageWithin(cause, depth - 1)
}

/**
 * 08: connection exceptions. 53: disk full, out of memory, too many connections. 57P01 to 57P05: shutting down, crashed,
 * starting, dropped, idle too long. 25006: the server a failover left behind is read-only.
 */
const sqlStates = /^(?:08[\dA-Z]{3}|53[\dA-Z]{3}|57P0[1-5]|25006)$/

const codes: ReadonlySet<string> = new Set([
  // Node.js
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  // fetch
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_SOCKET',
  // postgres.js
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  // Prisma: unreachable, timed out, closed, pool exhausted
  'P1001',
  'P1002',
  'P1017',
  'P2024',
])

const names: ReadonlySet<string> = new Set(['KnexTimeoutError', 'ConnectionAcquireTimeoutError'])

/** pg and its pool give these no code. */
const messages =
  /^(?:Connection terminated(?: unexpectedly| due to connection timeout)?|timeout exceeded when trying to connect|Client has encountered a connection error and is not queryable|Client was closed and is not queryable)$/
