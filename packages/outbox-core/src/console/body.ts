import { OutboxError } from '../errors.ts'

/** A thousand ids and two texts are far below it. */
const mostBytes = 64 * 1024

/**
 * What the page sends with a decision. Only JSON is taken: a form of another site cannot send that.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export async function readBody(request: Request): Promise<Readonly<Record<string, unknown>>> {
  const type = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') throw wrong('must be application/json')
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength
    if (bytes > mostBytes) throw wrong(`has more than ${String(mostBytes)} bytes`)
    chunks.push(chunk)
  }
  let value: unknown
  try {
    value = JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (cause) {
    throw wrong('is not JSON', cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('must be a JSON object')
  return value as Readonly<Record<string, unknown>>
}

const wrong = (what: string, cause?: unknown): OutboxError =>
  new OutboxError('INVALID_OPTION', `the body of the request ${what}`, { cause })
