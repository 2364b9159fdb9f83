import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { clockOffsetMs } from './journal.ts'
import type { Command, Report, RoleSettings } from './roles/role.ts'

export type RoleName = 'relay' | 'writer' | 'consumer'

/** A running relay, writer or consumer. */
export interface RoleProcess {
  readonly role: RoleName
  /** Different for every process ever started in a run. */
  readonly name: string
  readonly isAlive: boolean
  /** Resolves when it has ended, however, with what it said last when nobody had killed or stopped it. */
  readonly exited: Promise<string | null>
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void
  send(command: Command): void
  /** Bytes of heap in use after a collection. */
  memory(): Promise<number>
  /** Asks it to stop, and kills it when it has not after `timeoutMs`. @returns whether it stopped by itself */
  stop(timeoutMs?: number): Promise<boolean>
}

/**
 * Starts a role in a process of its own and waits until it works.
 *
 * @param within - a command that becomes the one behind it, for example `ip netns exec NAME`
 */
export async function startRoleProcess(
  role: RoleName,
  settings: RoleSettings,
  within: readonly string[] = [],
): Promise<RoleProcess> {
  const script = fileURLToPath(new URL(`roles/${role}.ts`, import.meta.url))
  const command = within[0] ?? process.execPath
  const before = within.length === 0 ? [] : [...within.slice(1), process.execPath]
  const child = fork(script, {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execPath: command,
    execArgv: [...before, '--conditions=@malote/source', '--expose-gc', '--max-old-space-size=256'],
    env: { ...process.env, MALOTE_CHAOS_ROLE: JSON.stringify(settings), MALOTE_CHAOS_CLOCK: String(clockOffsetMs) },
  })
  let log = ''
  child.stderr?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4_000)))
  const exited = once(child, 'exit').then(() => {
    const isMeant = child.exitCode === 0 || child.signalCode === 'SIGKILL'
    return isMeant ? null : `${settings.name} ended by ${String(child.exitCode ?? child.signalCode)}:\n${log}`
  })
  await Promise.race([
    reported(child, 'ready'),
    exited.then(() => Promise.reject(new Error(`${settings.name} ended before it worked:\n${log}`))),
  ])
  return {
    role,
    name: settings.name,
    get isAlive() {
      return child.exitCode === null && child.signalCode === null
    },
    exited,
    signal: (signal) => void child.kill(signal),
    send: (command) => void (child.connected && child.send(command, () => {})), // It may be gone by now: that is chaos.
    memory: async () => {
      const report = reported(child, 'memory')
      child.send({ type: 'tell-memory' } satisfies Command)
      return (await report).bytes
    },
    stop: async (timeoutMs = 15_000) => {
      if (child.connected) child.send({ type: 'stop' } satisfies Command, () => {})
      const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
      await exited
      clearTimeout(timer)
      return child.exitCode === 0
    },
  }
}

function reported<Type extends Report['type']>(
  child: ChildProcess,
  type: Type,
): Promise<Extract<Report, { type: Type }>> {
  return new Promise((resolve) => {
    const listen = (report: Report): void => {
      if (report.type !== type) return
      child.off('message', listen)
      resolve(report as Extract<Report, { type: Type }>)
    }
    child.on('message', listen)
  })
}
