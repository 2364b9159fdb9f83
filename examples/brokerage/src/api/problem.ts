import type { FastifyError, FastifyReply } from 'fastify'

/** Every refusal of the API, with its status. The type of a problem is `/problems/` and its code in kebab-case. */
const problems = {
  INVALID_REQUEST: [400, 'The request is not valid'],
  UNAUTHENTICATED: [401, 'A valid bearer token is required'],
  INSUFFICIENT_BALANCE: [402, 'The account has too little to cover the order'],
  NOT_FOUND: [404, 'There is no such thing for this account'],
  TOO_LATE_TO_CANCEL: [409, 'The order is already with the exchange'],
  UNSUPPORTED_MEDIA_TYPE: [415, 'Only application/json is understood'],
  PAYLOAD_TOO_LARGE: [413, 'The body is too large'],
  ANTIFRAUD_REFUSED: [422, 'The order is above what this account may place'],
  INTERNAL_ERROR: [500, 'Something failed on our side'],
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
  return reply.code(body.status).type('application/problem+json').send(JSON.stringify(body))
}

/** Fastify's own refusals (no JSON, wrong media type, too large) as problems; anything else is our fault and says nothing more. */
export function problemOfError(error: FastifyError): ProblemCode {
  if (error.statusCode === 413) return 'PAYLOAD_TOO_LARGE'
  if (error.statusCode === 415) return 'UNSUPPORTED_MEDIA_TYPE'
  return error.statusCode === 400 ? 'INVALID_REQUEST' : 'INTERNAL_ERROR'
}
