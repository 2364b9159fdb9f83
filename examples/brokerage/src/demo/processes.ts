import type { HoldPoint } from '../process/run-role.ts'
import { type Child, startChild } from '../supervisor/child.ts'
import { createSupervisor, type RoleName, type Supervisor } from '../supervisor/supervisor.ts'

export interface Tally {
  /** Messages consumers have given up on. The relay's own dead letters are in the database. */
  readonly consumerDeadLetters: number
  /** Attempts that cost a message one of its tries. */
  readonly relayRetries: number
}

/** Every process of one demo. */
export interface Processes {
  startServices(env: Readonly<Record<string, string>>): Promise<Child>
  /** Starts the exchange, the API and the consumers. Resolves when all are ready. */
  startRoles(env: Readonly<Record<string, string>>): Promise<{ readonly api: Child; readonly exchange: Child }>
  /** Starts the relay, or another after `killRelay`. */
  startRelay(env: Readonly<Record<string, string>>, holdAt: HoldPoint | null): Promise<Child>
  readonly supervisor: Supervisor
  watch(watcher: RoleWatcher): void
  /** Runs when the roles have ended and the database is still there. */
  atStop(cleanUp: () => Promise<void>): void
  /** What the processes have reported, over all of their lives. */
  readonly tally: Tally
  /** Rejects when the database and the broker end that nobody ended. Roles that end are started again. */
  readonly unexpectedEnd: Promise<never>
  /** Ends the relay as a crash would. `startRelay` starts the next. */
  killRelay(): Promise<void>
  /** Ends all: the roles first, then what they depend on. */
  stop(): Promise<void>
}

/** Told what becomes of the roles. */
export interface RoleWatcher {
  said(sentence: string): void
  roleStarted(name: RoleName, child: Child): void
}

export function createProcesses(): Processes {
  const watchers: RoleWatcher[] = []
  const cleanups: (() => Promise<void>)[] = []
  const tally = { consumerDeadLetters: 0, relayRetries: 0 }
  const { promise: unexpectedEnd, reject: fail } = Promise.withResolvers<never>()
  unexpectedEnd.catch(() => {}) // Whoever runs the demo races with it; until then it must not count as unhandled.
  let services: Child | undefined
  let isStopping = false
  const supervisor = createSupervisor({
    said: (sentence) => {
      for (const watcher of watchers) watcher.said(sentence)
    },
    onStart: (name, child) => {
      child.onEvent((event) => {
        if (event === 'message.retry-scheduled') tally.relayRetries++
        if (event === 'message.dead-lettered' && name !== 'relay') tally.consumerDeadLetters++
      })
      for (const watcher of watchers) watcher.roleStarted(name, child)
    },
  })

  return {
    supervisor,
    watch: (watcher) => {
      watchers.push(watcher)
    },
    atStop: (cleanUp) => {
      cleanups.push(cleanUp)
    },
    tally,
    unexpectedEnd,
    startServices: async (env) => {
      services = await startChild({ entry: 'demo/services.ts', env, detached: true })
      void services.exited.then(() => {
        if (!isStopping) fail(new Error('the database and the broker ended although nobody asked them to'))
      })
      return services
    },
    startRoles: async (env) => {
      const exchange = await supervisor.start('b3', env)
      const withExchange = { ...env, B3_URL: exchange.urls['b3'] ?? '' }
      const [api] = await Promise.all([
        supervisor.start('api', withExchange),
        ...(['orders', 'balances', 'listeners', 'market'] as const).map((name) => supervisor.start(name, withExchange)),
      ])
      return { api, exchange }
    },
    startRelay: (env, holdAt) =>
      supervisor.start('relay', holdAt === null ? env : { ...env, HOLD_FIRST_PUBLISH: holdAt }),
    // Kept away: whoever kills it by plan also starts the next by plan.
    killRelay: () => supervisor.hold('relay'),
    stop: async () => {
      isStopping = true
      await supervisor.stop()
      for (const cleanUp of cleanups) await cleanUp()
      await services?.stop(60_000)
    },
  }
}
