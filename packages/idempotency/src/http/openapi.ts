/** What the parts of an OpenAPI document say about the key: give what you gave to `createIdempotency`, so that clients are told the truth. */
export interface OpenApiOptions {
  /** Whether the header is required. @defaultValue true */
  readonly required?: boolean
  /** As given to `createIdempotency`; told to clients, as the IETF draft asks. @defaultValue 7 days */
  readonly keyRetentionMs?: number
  /** As given to `createIdempotency`. @defaultValue 16 */
  readonly minKeyLength?: number
  /** As given to `createIdempotency`. @defaultValue "Idempotency-Key" */
  readonly keyHeader?: string
  /** As given to `createIdempotency`. @defaultValue "Idempotency-Replayed" */
  readonly replayHeader?: string
}

/** Parts of an OpenAPI 3 document; put them where their names say. */
export interface OpenApiFragments {
  /** One of an operation's `parameters`. */
  readonly parameter: Readonly<Record<string, unknown>>
  /** To merge into an operation's `responses`. */
  readonly responses: Readonly<Record<'400' | '409' | '412' | '413' | '422' | '503', Readonly<Record<string, unknown>>>>
  /** To merge into the `headers` of an operation's own responses. */
  readonly replayHeaders: Readonly<Record<string, unknown>>
  /** Schema of the problems, for `components.schemas`. */
  readonly problemSchema: Readonly<Record<string, unknown>>
}

/** Describes the header and the refusals of an idempotent operation for an API's own OpenAPI document. */
export function openApiFragments(options: OpenApiOptions = {}): OpenApiFragments {
  const {
    required = true,
    keyRetentionMs = 604_800_000,
    minKeyLength = 16,
    keyHeader = 'Idempotency-Key',
    replayHeader = 'Idempotency-Replayed',
  } = options
  const hours = Math.floor(keyRetentionMs / 3_600_000)
  const description = `A new random value, a UUID for example, for each new request, and the same value for every retry of it. Remembered for ${String(hours)} hours.`
  return {
    parameter: {
      name: keyHeader,
      in: 'header',
      required,
      description,
      schema: { type: 'string', pattern: headerPattern(minKeyLength) },
      example: '"0198b1a0-4e5f-7d3a-9c41-5b8e2f60c7aa"',
    },
    responses: {
      '400': problem('The key is missing or malformed, or the body is JSON that receivers may read differently.'),
      '409': problem('A request with this key is in progress, or its outcome is being investigated.', retryAfter),
      '412': problem('The key is older than the time keys are remembered for; the request was not run.'),
      '413': problem('The body is too large.'),
      '422': problem('The key was used with a different request.'),
      '503': problem('Nothing was done, or the outcome is not known yet: retry with the same key.', retryAfter),
    },
    replayHeaders: {
      [replayHeader]: {
        description: 'Present on a stored response that is sent again.',
        schema: { type: 'string', const: 'true' },
      },
    },
    problemSchema,
  }
}

/** What `parseKey` takes: visible ASCII, bare where nothing in it needs quotes, or quoted. Neither quotes nor escapes count. */
function headerPattern(minLength: number): string {
  const length = `{${String(minLength)},255}`
  return String.raw`^(?:[!#-+\--:<-\[\]-~]${length}|"(?:[!#-\[\]-~]|\\["\\])${length}")$`
}

const retryAfter = {
  'Retry-After': { description: 'Seconds to wait before a retry.', schema: { type: 'integer', minimum: 1 } },
}

const problemSchema = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code'],
  properties: {
    type: { type: 'string', format: 'uri-reference' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', description: 'Stable name of the reason: switch on this.' },
  },
}

function problem(
  description: string,
  headers: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return { description, headers, content: { 'application/problem+json': { schema: problemSchema } } }
}
