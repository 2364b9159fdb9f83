import { setTimeout as pause } from 'node:timers/promises'
import { type Child, startChild } from './child.ts'

export type RoleName = 'api' | 'b3' | 'relay' | 'orders' | 'balances' | 'listeners' | 'market'

export interface RoleStatus {
  readonly name: RoleName
  readonly state: 'running' | 'starting' | 'stopped'
  readonly pid: number | null
  readonly restarts: number
}

export interface SupervisorOptions {
  /** Told in a sentence what happened to a role. */
  readonly said: (sentence: string) => void
  /** Told when a role runs, the first time and each time after. */
  readonly onStart?: (name: RoleName, child: Child) => void
}

/** Keeps roles running: one that ends although nobody asked it to is started again. */
export interface Supervisor {
  /** Starts a role. @throws Error when it ends before it is ready: what cannot start once is not tried for ever */
  start(name: RoleName, env: Readonly<Record<string, string>>): Promise<Child>
  /** The role's process now, or null while there is none. */
  child(name: RoleName): Child | null
  /** Ends a role as a crash would. It comes back like after any other crash. @returns false when it is not running */
  kill(name: RoleName): Promise<boolean>
  /** Ends a role as a crash would, and keeps it away until `release`. */
  hold(name: RoleName): Promise<void>
  release(name: RoleName): void
  status(): readonly RoleStatus[]
  /** Ends all and starts nothing any more. */
  stop(): Promise<void>
}

/** A role that lived this long has recovered: its next death is a first one again. */
const recoveredMs = 10_000

/** Pause before the n-th start in a row: 0.2 s and then twice as long each time, 5 s at the most. It never spins. */
export function restartDelayMs(failuresInARow: number): number {
  return Math.min(200 * 2 ** Math.min(failuresInARow, 10), 5_000)
}

interface Role {
  readonly env: Readonly<Record<string, string>>
  child: Child | null
  restarts: number
  failures: number
  startedMs: number
  /** Set while the role is kept away. */
  held: boolean
  starting: boolean
}

export function createSupervisor({ said, onStart }: SupervisorOptions): Supervisor {
  const roles = new Map<RoleName, Role>()
  const stopping = new AbortController()

  async function launch(name: RoleName, role: Role): Promise<Child> {
    const child = await startChild({ entry: `${name}/main.ts`, env: { ...role.env, ...portsOf(name, role.child) } })
    role.child = child
    role.startedMs = performance.now()
    onStart?.(name, child)
    void child.exited.then(() => {
      if (roles.get(name) === role && !stopping.signal.aborted) void restart(name, role)
    })
    return child
  }

  async function restart(name: RoleName, role: Role): Promise<void> {
    if (role.held || role.starting) return
    role.starting = true
    if (performance.now() - role.startedMs > recoveredMs) role.failures = 0
    const diedMs = performance.now()
    for (; !stopping.signal.aborted && !role.held; role.failures++) {
      const delayMs = restartDelayMs(role.failures)
      said(`${name} has ended; starting it again in ${seconds(delayMs)}`)
      await pause(delayMs, undefined, { signal: stopping.signal }).catch(() => {})
      if (stopping.signal.aborted || role.held) break
      try {
        await launch(name, role)
        role.restarts++
        role.failures++
        said(`${name} is back after ${seconds(performance.now() - diedMs)}`)
        break
      } catch (error) {
        said(`${name} did not start: ${(error as Error).message}`)
      }
    }
    role.starting = false
    // It may have died again between being ready and here.
    if (role.child !== null && !isAlive(role.child) && !stopping.signal.aborted) void restart(name, role)
  }

  async function kill(name: RoleName): Promise<boolean> {
    const role = roles.get(name)
    if (role === undefined || role.child === null || role.starting) return false
    await role.child.kill()
    return true
  }

  return {
    start: async (name, env) => {
      const role: Role = { env, child: null, restarts: 0, failures: 0, startedMs: 0, held: false, starting: false }
      roles.set(name, role)
      return launch(name, role)
    },
    child: (name) => {
      const role = roles.get(name)
      return role === undefined || role.starting || role.held ? null : role.child
    },
    kill,
    hold: async (name) => {
      const role = roles.get(name)
      if (role === undefined) return
      role.held = true
      if (role.child !== null && isAlive(role.child)) await role.child.kill()
    },
    release: (name) => {
      const role = roles.get(name)
      if (role === undefined || !role.held) return
      role.held = false
      void restart(name, role)
    },
    status: () =>
      [...roles].map(([name, role]) => ({
        name,
        state: role.held ? 'stopped' : role.starting ? 'starting' : 'running',
        pid: role.held || role.starting ? null : (role.child?.pid ?? null),
        restarts: role.restarts,
      })),
    stop: async () => {
      stopping.abort()
      await Promise.all([...roles.values()].map(async ({ child }) => child?.stop()))
    },
  }
}

/** A role that serves comes back where it was: others know its address. */
function portsOf(name: RoleName, before: Child | null): Readonly<Record<string, string>> {
  const url = before?.urls[name]
  if (url === undefined) return {}
  return { [name === 'api' ? 'API_PORT' : 'B3_PORT']: new URL(url).port }
}

function isAlive({ pid }: Child): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
