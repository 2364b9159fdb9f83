import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
  /** Where it can be reached, as it reported when it was ready. */
  readonly urls: Readonly<Record<string, string>>
  send(command: RoleCommand): void
  /** Resolves when the child reports an event of this name, or has reported one since the last call. Never settles if it ends first. */
  event(name: string): Promise<void>
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
  const role = entry.split('/')[0] ?? entry
  const child = fork(new URL(`../${entry}`, import.meta.url), [], {
    execArgv: [
      '--conditions=@malote/source',
      '--disable-warning=ExperimentalWarning',
      '--disable-warning=TimeoutNegativeWarning',
      // What a batch of messages needs lives for as long as the batch: with room for several it dies young and is never copied.
      '--max-semi-space-size=32',
    ],
    // Twelve processes load much the same code: compiled once, it is read by the others.
    env: {
      NODE_COMPILE_CACHE: join(tmpdir(), 'malote-demo-compile-cache'),
      ...inheritedEnvironment(),
      ROLE: role,
      // Whose a session is, for whoever looks at PostgreSQL.
      PGAPPNAME: role,
      ...env,
    },
    // Nothing a child prints may reach stdout: with --json only the result is there.
    stdio: ['ignore', 2, 2, 'ipc'],
    detached,
  })
  const exited = once(child, 'exit').then(() => {})
  const events = collectEvents(child)
  const urls = await Promise.race([
    whenReady(child),
    exited.then(() => {
      throw new Error(`${entry} ended with ${String(child.exitCode ?? child.signalCode)} before it was ready`)
    }),
  ])
  return {
    pid: child.pid as number,
    urls,
    send: (command) => sendTo(child, command),
    ...events,
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

/** What roles are told by whoever starts them, and by nobody else: the shell may use such names for something of its own. */
const settings = [
  'DATA_DIR',
  'POSTGRES_DIR',
  'API_PORT',
  'B3_PORT',
  'HOST',
  'DATABASE_URL',
  'BROKER',
  'BROKER_URL',
  'B3_URL',
  'B3_BEHAVIOUR',
  'CONTROL_URL',
  'WITNESS',
  'DEMO',
  'HOLD_FIRST_PUBLISH',
]

function inheritedEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !settings.includes(name)))
}

/** A child may end between the check and the send; its exit is what the caller waits for. */
function sendTo(child: ChildProcess, command: RoleCommand): void {
  if (child.connected) child.send(command, () => {})
}

function whenReady(child: ChildProcess): Promise<Readonly<Record<string, string>>> {
  return new Promise((resolve) => {
    child.on('message', (message: RoleReport) => {
      if (message.type === 'ready') resolve(message.urls)
    })
  })
}

/** Listens from the start: an event may follow `ready` before anybody has had the time to wait for it. */
function collectEvents(child: ChildProcess): Pick<Child, 'event' | 'onEvent'> {
  const unclaimed = new Set<string>()
  const waiting = new Map<string, () => void>()
  const listeners: ((name: string, detail: unknown) => void)[] = []
  child.on('message', (message: RoleReport) => {
    if (message.type !== 'event') return
    for (const listener of listeners) listener(message.name, message.detail)
    const waiter = waiting.get(message.name)
    waiting.delete(message.name)
    if (waiter === undefined) unclaimed.add(message.name)
    else waiter()
  })
  return {
    onEvent: (listener) => {
      listeners.push(listener)
    },
    event: (name) =>
      new Promise((resolve) => {
        if (unclaimed.delete(name)) resolve()
        else waiting.set(name, resolve)
      }),
  }
}
