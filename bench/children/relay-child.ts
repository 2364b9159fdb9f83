import { fork } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface RelayProcessSetup {
  readonly url: string
  /** `noop` accepts at once; `hung` never answers. */
  readonly broker: 'noop' | 'hung'
  /** Keep the ids of what was published, to find duplicates. @defaultValue false */
  readonly rememberIds?: boolean
  /** Flags for its Node, for example `--max-semi-space-size=4`. */
  readonly nodeFlags?: readonly string[]
}

export type RelayProcessCommand = 'start' | 'report' | 'stop'

export interface RelayProcessReport {
  readonly published: number
  /** Published more than once by this process. */
  readonly duplicates: number
  /** CPU time of the process since its first publish, in microseconds. */
  readonly cpuUs: number
  readonly rssBytes: number
  readonly ids: readonly string[]
}

export interface RelayChild {
  start(): void
  report(): Promise<RelayProcessReport>
  stop(): Promise<void>
}

/** Starts a process with a relay that is connected to nothing yet. */
export async function forkRelay(setup: RelayProcessSetup): Promise<RelayChild> {
  const child = fork(new URL('relay-process.ts', import.meta.url), [JSON.stringify(setup)], {
    execArgv: ['--conditions=@malote/source', ...(setup.nodeFlags ?? [])],
    // From its second start on it reads compiled JavaScript, as an installed package would: stripping types takes 40 MB.
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'malote-bench-compile-cache') },
  })
  const answers: ((answer: unknown) => void)[] = []
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`the relay's process ended with ${String(code)}`)
  })
  failed.catch(() => {}) // Heard of by whoever waits for an answer; nobody does after `stop`.
  child.on('message', (answer) => answers.shift()?.(answer))
  const answer = (): Promise<unknown> => Promise.race([new Promise((resolve) => answers.push(resolve)), failed])
  await answer()
  const send = (command: RelayProcessCommand): void => void child.send(command)
  return {
    start: () => send('start'),
    report: async () => {
      const report = answer()
      send('report')
      return (await report) as RelayProcessReport
    },
    stop: async () => {
      const exited = once(child, 'exit')
      send('stop')
      await exited
    },
  }
}
