import type { HttpResponse } from './http.ts'

/** Why a request was refused. Each is the last part of the problem's `type` URI and its `code` member. */
export type ProblemCode =
  | 'key-missing'
  | 'key-malformed'
  | 'key-reused'
  | 'key-expired'
  | 'in-progress'
  | 'indeterminate'
  | 'response-expired'
  | 'replay-forbidden'
  | 'body-ambiguous'
  | 'body-too-large'
  | 'too-many-keys'
  | 'commit-unknown'
  | 'store-unavailable'
  | 'no-effect'
  | 'timed-out'

const problems: Readonly<Record<ProblemCode, readonly [status: number, title: string]>> = {
  'key-missing': [400, 'This operation needs an Idempotency-Key header'],
  'key-malformed': [400, 'The Idempotency-Key header is malformed'],
  'key-reused': [422, 'This Idempotency-Key was used with a different request'],
  'key-expired': [412, 'This Idempotency-Key is older than the time keys are kept for'],
  'in-progress': [409, 'A request with this Idempotency-Key is in progress'],
  indeterminate: [409, 'The outcome of a request with this Idempotency-Key is being investigated'],
  'response-expired': [410, 'The request was completed, but its response is no longer kept'],
  'replay-forbidden': [403, 'This response may not be sent to you again'],
  'body-ambiguous': [400, 'The body is not JSON that every receiver reads alike'],
  'body-too-large': [413, 'The body is too large'],
  'too-many-keys': [429, 'Too many Idempotency-Keys are in use'],
  'commit-unknown': [503, 'The outcome is not known yet'],
  'no-effect': [503, 'The request could not be carried out now'],
  'timed-out': [503, 'The request took too long and was undone'],
  'store-unavailable': [503, 'The request cannot be made idempotent at the moment'],
}

export interface ProblemOptions {
  readonly detail: string
  readonly retryAfterSeconds?: number
}

/** Builds RFC 9457 responses whose `type` and `Link` lead to the documentation. */
export type ProblemFactory = (code: ProblemCode, options: ProblemOptions) => HttpResponse

/**
 * @param documentationUrl - the page that explains the codes, each under a fragment of its name
 * @param keyHeader - what the header is called that carries keys
 */
export function createProblems(documentationUrl: string, keyHeader: string): ProblemFactory {
  return (code, { detail, retryAfterSeconds }) => {
    const [status, words] = problems[code]
    const title = words.replace('Idempotency-Key', keyHeader)
    const type = `${documentationUrl}#${code}`
    return {
      status,
      headers: {
        'content-type': 'application/problem+json',
        'content-language': 'en',
        link: `<${type}>; rel="describedby"`,
        'cache-control': 'no-store',
        ...(retryAfterSeconds === undefined
          ? {}
          : { 'retry-after': String(Math.max(1, Math.ceil(retryAfterSeconds))) }),
      },
      body: Buffer.from(JSON.stringify({ type, title, status, detail, code })),
    }
  }
}
