import type { HoldPoint } from '../process/run-role.ts'
import { type Child, startChild } from './child.ts'

/** The roles that consume; each is the `main.ts` of its folder. */
const consumerFolders = ['orders', 'balances', 'listeners'] as const

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
  return new DemoProcesses()
}

class DemoProcesses implements Processes {
  readonly tally = { consumerDeadLetters: 0, relayRetries: 0 }
  readonly unexpectedEnd: Promise<never>
  readonly #fail: (error: Error) => void
  readonly #roles = new Set<Child>()
  readonly #expected = new WeakSet<Child>()
  #services: Child | undefined

  constructor() {
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => {}) // Whoever runs the demo races with it; until then it must not count as unhandled.
    this.unexpectedEnd = promise
    this.#fail = reject
  }

  async startServices(env: Readonly<Record<string, string>>): Promise<Child> {
    this.#services = await this.#start('demo/services.ts', env, true)
    return this.#services
  }

  async startRoles(env: Readonly<Record<string, string>>): Promise<{ readonly api: Child; readonly exchange: Child }> {
    const exchange = await this.#startRole('b3/main.ts', env)
    const withExchange = { ...env, B3_URL: exchange.urls['b3'] ?? '' }
    const [api] = await Promise.all([
      this.#startRole('api/main.ts', withExchange),
      this.#startRole('market/main.ts', withExchange),
      ...consumerFolders.map((folder) => this.#startRole(`${folder}/main.ts`, withExchange)),
    ])
    return { api, exchange }
  }

  startRelay(env: Readonly<Record<string, string>>, holdAt: HoldPoint | null): Promise<Child> {
    return this.#startRole('relay/main.ts', holdAt === null ? env : { ...env, HOLD_FIRST_PUBLISH: holdAt })
  }

  async killRelay(relay: Child): Promise<void> {
    this.#expected.add(relay)
    await relay.kill()
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#roles].map((child) => this.#end(child)))
    if (this.#services !== undefined) await this.#end(this.#services)
  }

  async #start(entry: string, env: Readonly<Record<string, string>>, detached = false): Promise<Child> {
    const child = await startChild({ entry, env, detached })
    child.onEvent((name) => {
      if (name === 'message.retry-scheduled') this.tally.relayRetries++
      if (name === 'message.dead-lettered' && entry !== 'relay/main.ts') this.tally.consumerDeadLetters++
    })
    void child.exited.then(() => {
      this.#roles.delete(child)
      if (!this.#expected.has(child)) this.#fail(new Error(`${entry} ended although nobody asked it to`))
    })
    return child
  }

  async #startRole(entry: string, env: Readonly<Record<string, string>>): Promise<Child> {
    const child = await this.#start(entry, env)
    this.#roles.add(child)
    return child
  }

  async #end(child: Child): Promise<void> {
    this.#expected.add(child)
    await child.stop(child === this.#services ? 60_000 : 10_000)
  }
}
