import { log } from './log.ts'
import { startTelemetry } from './telemetry.ts'

/** What a role tells the process that started it (over the IPC channel). */
export type RoleReport =
  | { readonly type: 'ready'; readonly urls: Readonly<Record<string, string>> }
  | { readonly type: 'event'; readonly name: string; readonly detail?: unknown }

/** What the starting process tells a role. */
export type RoleCommand =
  | { readonly type: 'stop' }
  | { readonly type: 'hold-next-publish'; readonly at: HoldPoint }
  | { readonly type: 'broker-outage'; readonly begins: boolean }
  | { readonly type: 'database-outage'; readonly begins: boolean }
  /** Consumers: fail each message before this attempt; null: fail always; 0: stop failing. */
  | { readonly type: 'fail-before-attempt'; readonly attempt: number | null }
  /** Relays: publish everything twice. */
  | { readonly type: 'publish-twice'; readonly on: boolean }

/** Where a relay is stopped to be killed: see `relay/announced-publisher.ts`. */
export type HoldPoint = 'publish-started' | 'publish-accepted'

export interface RunningRole {
  /** Where it can be reached, by name, for roles that serve. */
  readonly urls?: Readonly<Record<string, string>>
  stop(): Promise<void>
}

/**
 * Runs one role of the brokerage in this process until its parent says so, goes away, or a SIGTERM comes. A role started by
 * hand, without a parent, also stops on Ctrl-C; with one it leaves Ctrl-C to the parent, who stops roles in order.
 *
 * @param forceAfterMs - longest time stopping may take before the process ends anyway
 */
export async function runRole(start: () => Promise<RunningRole>, forceAfterMs = 8_000): Promise<void> {
  const hasParent = process.send !== undefined
  let stopping = false
  const telemetry = startTelemetry(process.env['ROLE'] ?? 'role')
  const role = telemetry.then(start)
  const stop = (): void => {
    if (stopping) return
    stopping = true
    role
      .then((running) => running.stop())
      .then(async () => (await telemetry)())
      .then(() => process.exit(0))
      .catch(fail)
    // A role that cannot stop must not outlive its parent: what it leaves undone is redelivered.
    setTimeout(() => process.exit(1), forceAfterMs).unref()
  }
  process.on('message', (command: RoleCommand) => {
    if (command.type === 'stop') stop()
  })
  process.on('disconnect', stop)
  process.on('SIGTERM', stop)
  process.on('SIGINT', hasParent ? () => {} : stop)
  try {
    const { urls = {} } = await role
    report({ type: 'ready', urls })
    log.info({ urls }, 'ready')
  } catch (error) {
    fail(error)
  }
}

/** Tells the parent, if there is one that still listens. */
export function report(message: RoleReport): void {
  // The callback swallows the error of a channel that closed meanwhile; the disconnect is already ending this process.
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

function fail(error: unknown): void {
  log.fatal({ err: error }, 'the role ended')
  process.exit(1)
}
