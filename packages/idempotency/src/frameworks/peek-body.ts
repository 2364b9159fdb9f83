import { IncomingMessage } from 'node:http'
import { IdempotencyError } from '../errors.ts'

/** The bytes of a body. `isDecoded`: without the coding that the header `content-encoding` names, whatever it says. */
export interface KeptBody {
  readonly bytes: Uint8Array
  readonly isDecoded: boolean
}

const kept = new WeakMap<IncomingMessage, KeptBody>()

/** Remembers a body that somebody has read to its end. */
export function keepBody(raw: IncomingMessage, body: KeptBody): void {
  kept.set(raw, body)
}

/**
 * The bytes of a body: what was kept of it, or what nobody has begun to read. Never a part of it: two requests that begin
 * alike would be taken for one.
 *
 * @param limit - in bytes; of a longer body that is still unread, what comes back is longer than `limit` but not whole
 * @param advice - what keeps them
 * @throws IdempotencyError `INVALID_OPTION` when somebody has read them and kept none
 */
export async function wholeBody(raw: IncomingMessage, limit: number, advice: string): Promise<KeptBody> {
  const body = kept.get(raw)
  if (body !== undefined) return body
  if (!hasBody(raw)) return { bytes: Buffer.alloc(0), isDecoded: false }
  const isUntouched = raw instanceof IncomingMessage && !raw.readableDidRead && raw.readableFlowing === null
  if (isUntouched) return { bytes: await peekBody(raw, limit), isDecoded: false }
  throw new IdempotencyError('INVALID_OPTION', `the bytes of the body were not kept: ${advice}`)
}

function hasBody(raw: IncomingMessage): boolean {
  return raw.headers['transfer-encoding'] !== undefined || Number(raw.headers['content-length'] ?? 0) > 0
}

/**
 * Reads the body of a request to its end and puts it back: whoever reads the request afterwards, a parser, a multipart
 * library or the handler, finds all of it, as if nobody had been there. Nothing is destroyed.
 *
 * Waits for the client. Node.js bounds that (`requestTimeout`, 300 s).
 *
 * @param limit - in bytes; a longer body is dropped, and what comes back is longer than `limit` but not whole
 * @throws Error with `statusCode` 400 when the client goes away before the end of its body
 */
export async function peekBody(raw: IncomingMessage, limit: number): Promise<Buffer> {
  if (!hasBody(raw)) return Buffer.alloc(0)
  // A client that goes away makes Node.js emit `error`, and one that nobody listens to ends the process.
  raw.on('error', ignore)
  const chunks: Buffer[] = []
  let size = 0

  /** Takes what has arrived. @returns the body once it is whole or too long */
  function takeArrived(): Buffer | undefined {
    // Not when there is nothing: `read` would have the end of an empty body announced, to nobody.
    while (size <= limit && raw.readableLength > 0) {
      const chunk = raw.read() as Buffer
      chunks.push(chunk)
      size += chunk.length
    }
    if (!raw.complete && size <= limit) return undefined
    const bytes = Buffer.concat(chunks)
    // Now, not after an await: the end is announced in the next tick unless there is something in the stream again.
    if (size > 0 && size <= limit) raw.unshift(bytes)
    return bytes
  }

  const bytes = takeArrived() ?? (await untilDone(raw, takeArrived))
  if (size > limit) raw.resume()
  else keepBody(raw, { bytes, isDecoded: false })
  return bytes
}

function untilDone(raw: IncomingMessage, takeArrived: () => Buffer | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const stopListening = (): void => void raw.off('readable', onReadable).off('close', onClose)
    const onReadable = (): void => {
      const bytes = takeArrived()
      if (bytes === undefined) return
      stopListening()
      resolve(bytes)
    }
    const onClose = (): void => {
      stopListening()
      reject(clientGone())
    }
    raw.on('readable', onReadable).on('close', onClose)
  })
}

function clientGone(): Error {
  return Object.assign(new Error('the client went away before it had sent its body'), {
    statusCode: 400,
    status: 400, // What Express looks at.
    code: 'ECONNRESET',
  })
}

function ignore(): void {}
