import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface FarAway {
  /** The database, as it is reached over the slow way. */
  readonly url: string
  close(): Promise<void>
}

/** Puts a round-trip time between us and a database: a proxy in a process of its own, so that its work is not taken for ours. */
export async function farAway(url: string, roundTripMs: number): Promise<FarAway> {
  const { port } = new URL(url)
  const child = fork(fileURLToPath(new URL('far-away-process.ts', import.meta.url)), [port, String(roundTripMs / 2)])
  const [listening] = (await once(child, 'message')) as [number]
  const moved = Object.assign(new URL(url), { port: String(listening) })
  return {
    url: moved.toString(),
    close: async () => {
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    },
  }
}
