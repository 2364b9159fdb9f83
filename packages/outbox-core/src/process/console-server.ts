import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Console } from '../console/console.ts'
import { nodeListener } from '../console/node-listener.ts'

export interface ConsoleServer {
  readonly url: string
  close(): Promise<void>
}

/** Serves a console on an address of its own. */
export async function serveConsole(handle: Console, at: { host: string; port: number }): Promise<ConsoleServer> {
  const server = createServer({ requestTimeout: 15_000 }, nodeListener(handle))
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
