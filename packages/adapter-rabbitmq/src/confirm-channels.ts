import { type Backoff, PublishOutageError } from '@malote/outbox-core'
import { systemClock } from '@malote/outbox-core/adapter'
import { type ConfirmPort, openConfirmPort } from './confirm-port.ts'
import { type Connect, type LiveConnection, openConnection } from './connection.ts'

/** One connection, made when first needed and again after each loss, with a few confirm channels that are used again. */
export interface ConfirmChannels {
  /** @throws PublishOutageError when the broker is out of reach or blocks publishers */
  acquire(): Promise<ConfirmPort>
  /** Gives back a channel with nothing unconfirmed on it. */
  release(port: ConfirmPort): void
  /** Gives up a channel whose unconfirmed messages nobody waits for any more; with `connection` its silent connection too. */
  abandon(port: ConfirmPort, what: 'channel' | 'connection'): void
  /** Closes the connection. A connection that is still being made is closed when it is there. */
  close(): Promise<void>
}

/** Idle channels kept: a relay has a handful of publishes under way. */
const maxIdle = 8

export function createConfirmChannels(connect: Connect, reconnectBackoff: Backoff): ConfirmChannels {
  let current: Promise<LiveConnection> | null = null
  let live: LiveConnection | null = null
  let idle: ConfirmPort[] = []
  let failures = 0
  let closed = false

  async function makeConnection(): Promise<LiveConnection> {
    if (failures > 0) await systemClock.sleep(reconnectBackoff(failures))
    const connection = await openConnection(connect)
    if (closed) await connection.discard()
    connection.lost.addEventListener('abort', () => forget(connection))
    live = connection
    failures = 0
    return connection
  }

  function forget(connection: LiveConnection): void {
    if (live === connection) current = live = null
    idle = idle.filter((port) => port.connection !== connection)
  }

  async function liveConnection(): Promise<LiveConnection> {
    current ??= makeConnection().catch((error: unknown) => {
      current = null
      failures++
      throw error
    })
    return await current
  }

  return {
    acquire: async () => {
      try {
        const connection = await liveConnection()
        const reason = connection.blockedReason()
        if (reason !== null) throw new Error(`the broker blocks publishers: ${reason}`)
        for (let port = idle.pop(); port !== undefined; port = idle.pop()) if (port.isOpen()) return port
        return await openConfirmPort(connection)
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        throw new PublishOutageError(`RabbitMQ is out of reach: ${why}`, { cause: error })
      }
    },
    release: (port) => {
      port.onWritable(() => {})
      if (closed || !port.isOpen() || idle.length >= maxIdle) port.discard()
      else idle.push(port)
    },
    abandon: (port, what) => {
      port.onWritable(() => {})
      if (what === 'channel') return port.discard()
      forget(port.connection)
      void port.connection.discard()
    },
    close: async () => {
      closed = true
      idle = []
      // One that is still being made is discarded when it is there: waiting for it could take for ever.
      await live?.discard()
    },
  }
}
