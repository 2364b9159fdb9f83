import { fork } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type StartedBy = 'malote' | 'graphile-worker' | 'pg alone'

/**
 * Starts a process that takes one message.
 *
 * @returns milliseconds from its start to the message in its hands
 * @throws Error when it ends before that
 */
export async function coldStart(who: StartedBy, url: string): Promise<number> {
  const startMs = performance.now()
  const child = fork(new URL('cold-process.ts', import.meta.url), [who, url], {
    execArgv: ['--conditions=@malote/source'],
    // From its second start on it reads compiled JavaScript, as an installed package would.
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'malote-bench-compile-cache') },
  })
  const exited = once(child, 'exit')
  const first = await Promise.race([once(child, 'message').then(() => null), exited])
  if (first !== null) throw new Error(`the process of ${who} ended with ${String(first[0])} before its first message`)
  const elapsedMs = performance.now() - startMs
  child.send('stop')
  await exited
  return elapsedMs
}
