import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/**
 * How bytes pass: at once, late, or not at all while the sockets stay open (a peer that vanished without a FIN). What a black hole
 * has swallowed stays open and silent for ever. `refused`: every connection is reset, those that are made meanwhile too.
 */
export type Passage = 'open' | 'slow' | 'half-open' | 'black-hole' | 'refused'

/** A TCP proxy on loopback that can hurt the connections through it. */
export interface Proxy {
  readonly port: number
  /** Resets every connection now open. New ones work. */
  cut(): void
  /** Applies to connections open now and later. Leaving `half-open` also resets what was stuck. */
  set(passage: Passage): void
  close(): Promise<void>
}

/** Where a proxy listens, when it is not 127.0.0.1: our end of a cable, of which only the other end may connect. */
export interface Cable {
  readonly address: string
  readonly peer: string
}

/** @param target - port on 127.0.0.1 */
export async function startProxy(target: number, cable: Cable | null = null, slowMs = 200): Promise<Proxy> {
  let passage: Passage = 'open'
  const pairs = new Set<readonly [Socket, Socket]>()
  const swallowed = new WeakSet<Socket>()

  const server = createServer((near) => {
    if (passage === 'refused' || (cable !== null && near.remoteAddress !== cable.peer)) {
      near.resetAndDestroy()
      return
    }
    const far = connect(target, '127.0.0.1')
    const pair = [near, far] as const
    pairs.add(pair)
    if (passage === 'black-hole') swallowed.add(near).add(far)
    pass(near, far)
    pass(far, near)
    for (const socket of pair) {
      socket.setNoDelay(true)
      socket.on('error', () => reset(pair)) // A reset on one side is passed on to the other.
      // A black hole does not tell either that the server has given up.
      socket.on('close', () => {
        if (socket === near || !swallowed.has(far)) reset(pair)
      })
    }
  }).listen(0, cable?.address ?? '127.0.0.1')
  await once(server, 'listening')

  function pass(from: Socket, to: Socket): void {
    from.on('data', (chunk) => {
      if (swallowed.has(from)) return
      if (passage === 'open') to.write(chunk)
      if (passage !== 'slow') return
      from.pause()
      setTimeout(() => {
        if (!to.destroyed && passage !== 'half-open' && !swallowed.has(from)) to.write(chunk)
        from.resume()
      }, slowMs)
    })
  }

  function reset(pair: readonly [Socket, Socket]): void {
    pairs.delete(pair)
    for (const socket of pair) if (!socket.destroyed) socket.resetAndDestroy()
  }

  const cut = (): void => {
    for (const pair of pairs) reset(pair)
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    set: (next) => {
      if (passage === 'half-open' && next !== 'half-open') cut()
      if (next === 'black-hole') for (const socket of [...pairs].flat()) swallowed.add(socket)
      passage = next
      if (next === 'refused') cut()
    },
    close: async () => {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}
