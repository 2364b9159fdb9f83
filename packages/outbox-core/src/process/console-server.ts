import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { Console } from '../console/console.ts'

export interface ConsoleServer {
  readonly url: string
  close(): Promise<void>
}

/** Serves a console on an address of its own. */
export async function serveConsole(handle: Console, at: { host: string; port: number }): Promise<ConsoleServer> {
  const server = createServer({ requestTimeout: 15_000 }, (request, response) => {
    pass(handle, request, response).catch(() => response.destroy()) // The browser went away in the middle.
  })
  server.listen(at.port, at.host)
  await once(server, 'listening') // Rejects when the port is taken.
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : at.port
  return {
    url: `http://${at.host.includes(':') ? `[${at.host}]` : at.host}:${String(port)}/`,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function pass(handle: Console, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = `http://${request.headers.host ?? ''}${request.url ?? '/'}`
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
