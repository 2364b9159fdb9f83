import { type Backoff, PublishOutageError } from '@malote/outbox-core'
import { systemClock } from '@malote/outbox-core/adapter'
import { type ConfirmPort, openConfirmPort } from './confirm-port.ts'
import { type Connect, isInvalidOption, type LiveConnection, openConnection } from './connection.ts'

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
  return new Channels(connect, reconnectBackoff)
}

class Channels implements ConfirmChannels {
  readonly #connect: Connect
  readonly #reconnectBackoff: Backoff
  #current: Promise<LiveConnection> | null = null
  #live: LiveConnection | null = null
  #idle: ConfirmPort[] = []
  #failures = 0
  #closed = false

  constructor(connect: Connect, reconnectBackoff: Backoff) {
    this.#connect = connect
    this.#reconnectBackoff = reconnectBackoff
  }

  async acquire(): Promise<ConfirmPort> {
    try {
      const connection = await this.#liveConnection()
      const reason = connection.blockedReason()
      if (reason !== null) throw new Error(`the broker blocks publishers: ${reason}`)
      for (let port = this.#idle.pop(); port !== undefined; port = this.#idle.pop()) if (port.isOpen()) return port
      return await openConfirmPort(connection)
    } catch (error) {
      if (isInvalidOption(error)) throw error
      const why = error instanceof Error ? error.message : String(error)
      throw new PublishOutageError(`RabbitMQ is out of reach: ${why}`, { cause: error })
    }
  }

  release(port: ConfirmPort): void {
    port.onWritable(() => {})
    if (port.wasRefused()) return this.#renew(port)
    if (this.#closed || !port.isOpen() || this.#idle.length >= maxIdle) port.discard()
    else this.#idle.push(port)
  }

  abandon(port: ConfirmPort, what: 'channel' | 'connection'): void {
    port.onWritable(() => {})
    if (what === 'channel') return port.discard()
    this.#forget(port.connection)
    void port.connection.discard()
  }

  /** A channel that a full queue refused does not hear when there is room again, nor do those that sent to that queue before. */
  #renew(port: ConfirmPort): void {
    for (const stale of [port, ...this.#idle.splice(0)]) stale.discard()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#idle = []
    // One that is still being made is discarded when it is there: waiting for it could take for ever.
    await this.#live?.discard()
  }

  async #liveConnection(): Promise<LiveConnection> {
    this.#current ??= this.#makeConnection().catch((error: unknown) => {
      this.#current = null
      this.#failures++
      throw error
    })
    return await this.#current
  }

  async #makeConnection(): Promise<LiveConnection> {
    if (this.#failures > 0) await systemClock.sleep(this.#reconnectBackoff(this.#failures))
    const connection = await openConnection(this.#connect)
    if (this.#closed) await connection.discard()
    connection.lost.addEventListener('abort', () => this.#forget(connection))
    this.#live = connection
    this.#failures = 0
    return connection
  }

  #forget(connection: LiveConnection): void {
    if (this.#live === connection) this.#current = this.#live = null
    this.#idle = this.#idle.filter((port) => port.connection !== connection)
  }
}
