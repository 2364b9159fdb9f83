import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate } from 'node:zlib'

const decoders: Readonly<
  Record<string, (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Promise<Buffer>>
> = {
  gzip: promisify(gunzip) as never,
  'x-gzip': promisify(gunzip) as never,
  deflate: promisify(inflate) as never,
  br: promisify(brotliDecompress) as never,
}

/** `too-large`: decoded it has more than the limit. `broken`: it is not in the coding it claims to be in. */
export type DecodedBody = Uint8Array | 'too-large' | 'broken'

/**
 * Takes the content coding off a body, so that a retry may be compressed in another way, or not at all. A coding that is
 * not known, or more than one, stays on.
 *
 * @param limit - of the decoded body, in bytes: a few bytes can be made to inflate without end
 */
export async function decodeBody(body: Uint8Array, coding: string | undefined, limit: number): Promise<DecodedBody> {
  const decode = decoders[coding?.trim().toLowerCase() ?? '']
  if (decode === undefined || body.length === 0) return body
  try {
    return await decode(body, { maxOutputLength: Math.max(1, limit) })
  } catch (error) {
    return (error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE' ? 'too-large' : 'broken'
  }
}
