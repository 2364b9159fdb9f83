import { fork } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface ConsumerSetup {
  readonly who: 'malote' | 'sqs-consumer'
  readonly endpoint: string
  readonly queueUrl: string
  /** The database of the effects, and of our inbox. */
  readonly url: string
}

export type ConsumerCommand = 'report' | 'stop'

export interface ConsumerChild {
  /** Resident memory now, in bytes. */
  rss(): Promise<number>
  stop(): Promise<void>
}

/** Starts a consumer in a process of its own. */
export async function forkConsumer(setup: ConsumerSetup): Promise<ConsumerChild> {
  const child = fork(new URL('consumer-process.ts', import.meta.url), [JSON.stringify(setup)], {
    execArgv: ['--conditions=@malote/source'],
    // From its second start on it reads compiled JavaScript, as an installed package would: stripping types takes 40 MB.
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'malote-bench-compile-cache') },
  })
  const exited = once(child, 'exit')
  const answer = async (): Promise<unknown> => {
    const [heard] = (await Promise.race([once(child, 'message'), exited.then(() => [null])])) as [unknown]
    if (heard === null) throw new Error(`the process of ${setup.who} ended with ${String(child.exitCode)}`)
    return heard
  }
  await answer()
  const send = (command: ConsumerCommand): void => void child.send(command)
  return {
    rss: async () => {
      send('report')
      return (await answer()) as number
    },
    stop: async () => {
      send('stop')
      await exited
    },
  }
}
