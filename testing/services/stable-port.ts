import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * A loopback TCP port for a server that a test starts, and maybe stops and starts again: below the range that the kernel gives to
 * outgoing connections, which would sooner or later take the port while the server is not up. It is given to nobody else as long as this
 * process lives: whoever looks for one first takes the UDP port of the same number, which no server of ours listens on.
 */
export async function stablePort(from = 20_000, below = 32_000): Promise<number> {
  for (;;) {
    const port = randomInt(from, below)
    if ((await isClaimed(port)) && (await isFree(port))) return port
  }
}

async function isClaimed(port: number): Promise<boolean> {
  const claim = createSocket('udp4')
  try {
    const bound = once(claim, 'listening')
    claim.bind({ port, address: '127.0.0.1', exclusive: true })
    await bound
    claim.unref()
    return true
  } catch {
    claim.close()
    return false // Somebody else's: the caller tries another.
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
  } catch {
    return false // A server of somebody else: the caller tries another.
  }
  server.close()
  await once(server, 'close')
  return true
}
