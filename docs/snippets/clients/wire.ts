import type { TestDatabase } from '@malote/testing/database'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Wire {
  /** The same database, reached over this wire. */
  readonly database: TestDatabase
  /** How often a client waited for PostgreSQL while `work` ran: each simple query and each Sync has one answer. */
  countTrips(work: () => Promise<unknown>): Promise<number>
  close(): Promise<void>
}

/** Stands between clients and a database, and reads what the clients send. */
export async function tapWire(database: TestDatabase): Promise<Wire> {
  const { port } = new URL(database.url)
  const sockets = new Set<Socket>()
  let trips = 0
  const server = createServer({ noDelay: true }, (client) => {
    const target = connect({ port: Number(port), host: '127.0.0.1', noDelay: true })
    const typesOf = messageTypes()
    client.on('data', (sent) => {
      trips += typesOf(sent).filter((type) => type === 'Q' || type === 'S').length
      target.write(sent)
    })
    target.pipe(client)
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = Object.assign(new URL(database.url), { port: String((server.address() as AddressInfo).port) }).toString()
  return {
    database: { ...database, url, pool: (options) => database.pool({ connectionString: url, ...options }) },
    countTrips: async (work) => {
      const before = trips
      await work()
      return trips - before
    },
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** The type of each message that ends in what has come so far. The first message of a connection has none. */
function messageTypes(): (sent: Buffer) => readonly string[] {
  let rest: Buffer = Buffer.alloc(0)
  let hasBegun = false
  return (sent) => {
    const types: string[] = []
    rest = Buffer.concat([rest, sent])
    for (;;) {
      const at = hasBegun ? 1 : 0
      if (rest.length < at + 4) return types
      const end = at + rest.readUInt32BE(at)
      if (rest.length < end) return types
      if (hasBegun) types.push(String.fromCharCode(rest[0] as number))
      hasBegun = true
      rest = rest.subarray(end)
    }
  }
}
