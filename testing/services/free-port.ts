import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

/** A loopback TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/**
 * A loopback TCP port for a server that a test stops and starts again: below the range that the kernel gives to outgoing
 * connections, which would sooner or later take the port while the server is down.
 */
export async function stablePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createServer()
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening')
    } catch {
      continue // Taken: try another.
    }
    server.close()
    await once(server, 'close')
    return port
  }
}
