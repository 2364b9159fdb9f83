import { connect, Socket } from 'node:net'
import type { ISocketFactory } from 'kafkajs'

/** The TCP connections of one Kafka client, to be counted and cut. */
export interface Sockets {
  readonly factory: ISocketFactory
  readonly open: number
  /** Destroys all; new ones are welcome. */
  cut(): void
  /** Destroys all, and every later one fails: as a process that is gone. */
  sever(): void
}

export function createSockets(): Sockets {
  const sockets = new Set<Socket>()
  let severed = false

  function cut(): void {
    for (const socket of sockets) socket.destroy(new Error('cut by the test'))
  }

  return {
    get open() {
      return sockets.size
    },
    cut,
    sever: () => {
      severed = true
      cut()
    },
    factory: ({ host, port, onConnect }) => {
      const socket = severed ? new Socket() : connect({ host, port }, onConnect)
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      if (severed) queueMicrotask(() => socket.destroy(new Error('severed by the test')))
      return socket
    },
  }
}
