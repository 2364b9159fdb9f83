import type { HoldPoint } from '../process/run-role.ts'
import { type Child, startChild } from './child.ts'

/** The roles that consume; each is the `main.ts` of its folder. */
const consumerFolders = ['orders', 'balances', 'notification', 'audit', 'reports'] as const

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
  startRelay(env: Readonly<Record<string, string>>, holdAt: HoldPoint | null): Promise<Child>
  /** What the processes have reported, over all of their lives. */
  readonly tally: Tally
  /** Rejects when a process ends that nobody ended. */
  readonly unexpectedEnd: Promise<never>
  /** Ends the relay as a crash would. */
  killRelay(relay: Child): Promise<void>
  /** Ends all: the roles first, then what they depend on. */
  stop(): Promise<void>
}

export function createProcesses(): Processes {
  const roles = new Set<Child>()
  const tally = { consumerDeadLetters: 0, relayRetries: 0 }
  let services: Child | undefined
  const expected = new WeakSet<Child>()
  let fail: (error: Error) => void = () => {}
  const unexpectedEnd = new Promise<never>((_resolve, reject) => {
    fail = reject
  })
  unexpectedEnd.catch(() => {}) // Whoever runs the demo races with it; until then it must not count as unhandled.

  async function start(entry: string, env: Readonly<Record<string, string>>, detached = false): Promise<Child> {
    const child = await startChild({ entry, env, detached })
    child.onEvent((name) => {
      if (name === 'message.retry-scheduled') tally.relayRetries++
      if (name === 'message.dead-lettered' && entry !== 'relay/main.ts') tally.consumerDeadLetters++
    })
    void child.exited.then(() => {
      roles.delete(child)
      if (!expected.has(child)) fail(new Error(`${entry} ended although nobody asked it to`))
    })
    return child
  }

  async function startRole(entry: string, env: Readonly<Record<string, string>>): Promise<Child> {
    const child = await start(entry, env)
    roles.add(child)
    return child
  }

  async function end(child: Child): Promise<void> {
    expected.add(child)
    await child.stop(child === services ? 60_000 : 10_000)
  }

  return {
    tally,
    unexpectedEnd,
    startServices: async (env) => {
      services = await start('demo/services.ts', env, true)
      return services
    },
    startRoles: async (env) => {
      const exchange = await startRole('b3/main.ts', env)
      const withExchange = { ...env, B3_URL: exchange.urls['b3'] ?? '' }
      const [api] = await Promise.all([
        startRole('api/main.ts', withExchange),
        ...consumerFolders.map((folder) => startRole(`${folder}/main.ts`, withExchange)),
      ])
      return { api, exchange }
    },
    startRelay: (env, holdAt) =>
      startRole('relay/main.ts', holdAt === null ? env : { ...env, HOLD_FIRST_PUBLISH: holdAt }),
    killRelay: async (relay) => {
      expected.add(relay)
      await relay.kill()
    },
    stop: async () => {
      await Promise.all([...roles].map(end))
      if (services !== undefined) await end(services)
    },
  }
}
