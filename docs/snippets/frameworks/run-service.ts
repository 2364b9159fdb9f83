import { once } from 'node:events'
import type { Server } from 'node:net'
import type { Consumer, Publisher, Relay } from '@malote/outbox-core'
import type { Pool } from 'pg'

export interface Service {
  /** What `app.listen` of Express returns, and `serve` of `@hono/node-server`. */
  readonly server: Server
  readonly consumer: Consumer
  readonly relay: Relay
  readonly publisher: Publisher
  /** The pool of the requests, and that of the relay. */
  readonly pools: readonly Pool[]
}

/** Starts the relay and the consumer, waits for SIGTERM or Ctrl-C, and stops in good order: what is under way is finished, and nothing new begins. */
export async function runService({ server, consumer, relay, publisher, pools }: Service): Promise<void> {
  const told = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  relay.start()
  await consumer.start()
  await told
  server.close()
  await once(server, 'close') // Requests that are under way have their answer.
  await consumer.stop()
  await relay.stop()
  await publisher.close()
  await Promise.all(pools.map((pool) => pool.end()))
}
