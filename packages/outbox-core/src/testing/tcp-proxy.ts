import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/**
 * A connection between a client and its server that a test can cut or silence, to see what a library makes of a broken network.
 * Get one from `startTcpProxy`. For tests only.
 */
export interface TcpProxy {
  readonly port: number
  /** Connections now open from clients. */
  readonly connections: number
  /** Cuts every connection; new ones are welcome. */
  cut(): void
  /** Goes silent as a dead network does: connections stay and nothing passes on them any more, nor the news that a client closed one. */
  silence(): void
  /**
   * A black hole until `accept()`: passes this many more answers of the server, then nothing on any connection. New connections
   * are accepted and get no answer either. What is silent by then stays silent.
   */
  swallow(afterAnswers?: number): void
  /** Cuts every connection and refuses new ones until `accept()`. */
  refuse(): void
  accept(): void
  close(): Promise<void>
}

/** Stands between a client and a server on loopback, so that a test can cut and count the client's connections. */
export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const clients = new Set<Socket>()
  const targets = new Set<Socket>()
  let refusing = false
  let answersLeft = Number.POSITIVE_INFINITY
  const isSilent = new WeakSet<Socket>()
  const silence = (): void => {
    for (const socket of [...clients, ...targets]) {
      isSilent.add(socket)
      socket.unpipe()
      socket.resume()
    }
  }
  // No waiting for more to send: a proxy that adds delays would be measured with what stands behind it.
  const server = createServer({ noDelay: true }, (client) => {
    if (refusing) {
      client.resetAndDestroy()
      return
    }
    clients.add(client)
    const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true })
    targets.add(target)
    client.pipe(target)
    target.on('data', (answer) => {
      if (answersLeft <= 0) silence()
      if (isSilent.has(target)) return
      answersLeft--
      if (!client.write(answer)) target.pause()
    })
    client.on('drain', () => target.resume())
    target.on('end', () => {
      if (!isSilent.has(target)) client.end()
    })
    client.on('error', () => {}) // A cut connection is what this proxy is for; `close` follows and cleans up.
    target.on('error', () => client.resetAndDestroy())
    target.on('close', () => {
      targets.delete(target)
      client.destroy()
    })
    client.on('close', () => {
      clients.delete(client)
      if (!isSilent.has(target)) target.destroy()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => clients.forEach((client) => client.resetAndDestroy())

  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return clients.size
    },
    cut,
    silence,
    swallow: (afterAnswers = 0) => {
      answersLeft = afterAnswers
    },
    refuse: () => {
      refusing = true
      cut()
    },
    accept: () => {
      if (answersLeft !== Number.POSITIVE_INFINITY) silence()
      answersLeft = Number.POSITIVE_INFINITY
      refusing = false
    },
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      cut()
      for (const target of targets) target.destroy() // Of clients that are gone without a word, too.
      await closed
    },
  }
}
