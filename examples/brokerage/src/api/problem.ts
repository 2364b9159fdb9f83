import type { FastifyError, FastifyReply } from 'fastify'

/** Every refusal of the API, with its status. The type of a problem is `/problems/` and its code in kebab-case. */
const problems = {
  INVALID_REQUEST: [400, 'The request is not valid'],
  UNAUTHENTICATED: [401, 'A valid bearer token is required'],
  INSUFFICIENT_BALANCE: [402, 'The account has too little to cover the order'],
  FORBIDDEN: [403, 'This account may not do that'],
  NOT_FOUND: [404, 'There is no such thing for this account'],
  REQUEST_TIMEOUT: [408, 'The request did not arrive in time'],
  TOO_LATE_TO_CANCEL: [409, 'The order is already with the exchange'],
  NOT_UNDECIDED: [409, 'Only an order that has failed is decided by a person'],
  PAYLOAD_TOO_LARGE: [413, 'The body is too large'],
  UNSUPPORTED_MEDIA_TYPE: [415, 'Only application/json is understood'],
  ANTIFRAUD_REFUSED: [422, 'The order is above what this account may place'],
  UNKNOWN_ASSET: [422, 'The brokerage quotes no price for this asset'],
  AMOUNT_OUT_OF_RANGE: [422, 'The order is too small or too large'],
  FILL_TOO_LARGE: [422, 'The reservation does not cover that fill'],
  TOO_MANY_REQUESTS: [429, 'Too many requests of this client'],
  INTERNAL_ERROR: [500, 'Something failed on our side'],
  NOT_AVAILABLE: [501, 'This process was started without what that needs'],
  STOPPING: [503, 'This process is being stopped: nothing was done, try again'],
  UNAVAILABLE: [503, 'The database cannot be reached: nothing was done, try again'],
} as const
export type ProblemCode = keyof typeof problems

/** RFC 9457 problem details. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ProblemCode
  readonly detail?: string
}

export function problem(code: ProblemCode, detail?: string): Problem {
  const [status, title] = problems[code]
  const type = `/problems/${code.toLowerCase().replaceAll('_', '-')}`
  return { type, title, status, code, ...(detail === undefined ? {} : { detail }) }
}

export function sendProblem(reply: FastifyReply, code: ProblemCode, detail?: string): FastifyReply {
  const body = problem(code, detail)
  if (body.status === 503) reply.header('retry-after', '2')
  return reply.code(body.status).type('application/problem+json').send(JSON.stringify(body))
}

const ofStatus: Readonly<Record<number, ProblemCode>> = {
  400: 'INVALID_REQUEST',
  408: 'REQUEST_TIMEOUT',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  429: 'TOO_MANY_REQUESTS',
}

/** Fastify's own refusals (no JSON, wrong media type, too large) as problems; a database out of reach is 503; anything else is our fault. */
export function problemOfError(error: FastifyError): ProblemCode {
  if (isDatabaseAway(error)) return 'UNAVAILABLE'
  if (isUnstorableText(error)) return 'INVALID_REQUEST'
  return ofStatus[error.statusCode ?? 500] ?? 'INTERNAL_ERROR'
}

/** A NUL in a text, which PostgreSQL takes nowhere: 22021, or 22P05 within JSON. */
export function isUnstorableText({ code }: { readonly code?: unknown }): boolean {
  return code === '22021' || code === '22P05'
}

/** No connection, or a server that is starting, stopping or full. */
export function isDatabaseAway(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown }
  if (typeof code === 'string' && (/^(08|57P0|53)/.test(code) || /^E(CONN|PIPE|HOST|NET|TIMEDOUT)/.test(code)))
    return true
  return (
    typeof message === 'string' &&
    /connection (terminated|timeout)|timeout exceeded when trying to connect/i.test(message)
  )
}
