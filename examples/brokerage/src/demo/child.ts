import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { RoleCommand, RoleReport } from '../process/run-role.ts'

export interface ChildOptions {
  /** Entry file, relative to `src`. */
  readonly entry: string
  readonly env: Readonly<Record<string, string>>
  /** In a process group of its own, out of reach of the terminal's Ctrl-C and of a kill of the whole group. */
  readonly detached?: boolean
}

/** A role or service of the demo, running as a process of its own. */
export interface Child {
  readonly pid: number
  /** What it reported when it was ready. */
  readonly url: string
  send(command: RoleCommand): void
  /** Resolves with the detail of the next event of this name. Never settles if the child ends first. */
  event(name: string): Promise<unknown>
  onEvent(listener: (name: string, detail: unknown) => void): void
  /** Resolves when the process has ended, however it ended. */
  readonly exited: Promise<void>
  /** Ends it with SIGKILL. */
  kill(): Promise<void>
  /** Asks it to stop, and insists after `graceMs`. */
  stop(graceMs?: number): Promise<void>
}

/**
 * Starts a role and resolves when it reports that it is ready. All children end by themselves when this process ends,
 * however it ends: their IPC channel closes.
 *
 * @throws Error when it ends before it is ready
 */
export async function startChild({ entry, env, detached = false }: ChildOptions): Promise<Child> {
  const child = fork(new URL(`../${entry}`, import.meta.url), [], {
    execArgv: ['--conditions=@malote/source', '--disable-warning=ExperimentalWarning'],
    env: { ...process.env, ...env },
    // Nothing a child prints may reach stdout: with --json only the result is there.
    stdio: ['ignore', 2, 2, 'ipc'],
    detached,
  })
  const exited = once(child, 'exit').then(() => {})
  const ready = await Promise.race([
    nextReport(child, (message) => message.type === 'ready'),
    exited.then(() => {
      throw new Error(`${entry} ended with ${String(child.exitCode ?? child.signalCode)} before it was ready`)
    }),
  ])
  return {
    pid: child.pid as number,
    url: ready.type === 'ready' ? (ready.url ?? '') : '',
    send: (command) => sendTo(child, command),
    event: async (name) => {
      const found = await nextReport(child, (message) => message.type === 'event' && message.name === name)
      return found.type === 'event' ? found.detail : undefined
    },
    onEvent: (listener) => {
      child.on('message', (message: RoleReport) => {
        if (message.type === 'event') listener(message.name, message.detail)
      })
    },
    exited,
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
    stop: async (graceMs = 10_000) => {
      sendTo(child, { type: 'stop' })
      const insist = setTimeout(() => child.kill('SIGKILL'), graceMs)
      await exited
      clearTimeout(insist)
    },
  }
}

/** A child may end between the check and the send; its exit is what the caller waits for. */
function sendTo(child: ChildProcess, command: RoleCommand): void {
  if (child.connected) child.send(command, () => {})
}

function nextReport(child: ChildProcess, matches: (message: RoleReport) => boolean): Promise<RoleReport> {
  return new Promise((resolve) => {
    const listener = (message: RoleReport): void => {
      if (!matches(message)) return
      child.off('message', listener)
      resolve(message)
    }
    child.on('message', listener)
  })
}
