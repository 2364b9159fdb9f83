import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { Console } from './console.ts'

/**
 * A console as a listener of `node:http`, for Express and servers of your own. Mount it before anything that reads bodies, under
 * the path that is its `basePath`: Express' own prefix is understood.
 */
export function nodeListener(handle: Console): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    pass(handle, request, response).catch(() => response.destroy()) // The browser went away in the middle.
  }
}

async function pass(handle: Console, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // Express cuts the prefix off `url`.
  const { originalUrl = request.url ?? '/' } = request as { readonly originalUrl?: string }
  const url = `http://${request.headers.host ?? ''}${originalUrl}`
  if (!URL.canParse(url)) {
    response.writeHead(400).end()
    return
  }
  const headers = new Headers()
  for (const [name, values] of Object.entries(request.headersDistinct))
    for (const value of values ?? []) headers.append(name, value)
  const { method = 'GET' } = request
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const body = hasBody ? { body: Readable.toWeb(request) as ReadableStream, duplex: 'half' as const } : {}
  const answer = await handle(new Request(url, { method, headers, ...body }))
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  response.end(Buffer.from(await answer.arrayBuffer()))
}
