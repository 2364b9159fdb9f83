import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { HarnessError } from './harness-error.ts'
import { scaled } from './slowness.ts'

/**
 * Stops a process of this host and resolves once it stands still. The signal alone promises nothing yet: on a busy machine a
 * thread of it may run, and answer, for milliseconds more.
 *
 * @returns lets it go on
 * @throws HarnessError when it does not stop within five seconds of a quiet machine
 */
export async function pauseProcess(pid: number): Promise<() => void> {
  process.kill(pid, 'SIGSTOP')
  for (const deadlineMs = Date.now() + scaled(5_000); !isStopped(pid);) {
    if (Date.now() > deadlineMs) throw new HarnessError(`process ${String(pid)} does not stop`)
    await sleep(5) // Nothing tells of it: the state has to be looked at.
  }
  return () => void process.kill(pid, 'SIGCONT')
}

/** Of every thread where the system shows them, else of the process. */
function isStopped(pid: number): boolean {
  const threads = `/proc/${String(pid)}/task`
  const states = existsSync(threads)
    ? readdirSync(threads).map((thread) => stateIn(`${threads}/${thread}/stat`))
    : [execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).trim()]
  return states.every((state) => state.startsWith('T'))
}

/** The field behind the name, which stands in parentheses and may hold anything. A thread that has ended runs no more. */
function stateIn(path: string): string {
  try {
    const text = readFileSync(path, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || (error as NodeJS.ErrnoException).code === 'ESRCH')
      return 'T'
    throw error
  }
}
