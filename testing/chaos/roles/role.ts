import pg from 'pg'
import type { BrokerSettings } from '../brokers/broker.ts'
import { createFailpoints, type Failpoint, type Failpoints } from '../failpoints.ts'
import { type Journal, openJournal } from '../journal.ts'

/** What a child process is told when it starts. */
export interface RoleSettings {
  readonly name: string
  readonly seed: number
  readonly databaseUrl: string
  readonly broker: BrokerSettings
  readonly journals: string
  readonly leaseMs: number
  readonly keys: readonly string[]
  readonly presence: boolean
  readonly variant: Variant
  /** Whether writers write messages that no consumer can handle. */
  readonly refuses: boolean
  /** Whether relays keep the library's own attempts, pauses and limits, and no message is made to fail. */
  readonly defaults: boolean
  /** Whether writers write messages that die until they are cured. */
  readonly isCurable: boolean
}

/** The protocol with one rule taken out, by a wrapper: shows that the history checker sees it. */
export const variants = [
  'none',
  'add-outside-the-transaction',
  'published-rows-stay',
  'acknowledge-before-broker',
  'acknowledge-before-commit',
  'apply-without-inbox',
  'outages-cost-attempts',
  'send-behind-a-failure',
  /** Takes nothing out: the control for the next one. */
  'zombie-failures',
  'retry-without-fence',
  'take-owned-lanes',
  'floor-without-locks',
  'blame-messages',
  /** Takes nothing out: a message that ends the process which publishes it. */
  'poison-exits',
  'poison-exhausts-memory',
  'waits-for-ever',
  'lanes-stay-away',
  'buffers-everything',
  'hang-blocks-all',
  'cut-off-forgets-writers',
] as const
export type Variant = (typeof variants)[number]

export type Command =
  | { readonly type: 'stop' }
  | { readonly type: 'die-at'; readonly point: Failpoint }
  | { readonly type: 'hang'; readonly isHung: boolean }
  | { readonly type: 'cure'; readonly isCured: boolean }
  | { readonly type: 'hold-pool'; readonly forMs: number }
  | { readonly type: 'set-clock'; readonly offsetMs: number }
  | { readonly type: 'tell-memory' }

export type Report = { readonly type: 'ready' } | { readonly type: 'memory'; readonly bytes: number }

export interface Role {
  readonly settings: RoleSettings
  readonly journal: Journal
  readonly failpoints: Failpoints
  pool(config?: pg.PoolConfig): pg.Pool
  /** Tells the runner that this process works, and obeys it until told to stop. */
  serve(handlers: Handlers): void
}

interface Handlers {
  readonly stop: () => Promise<void>
  readonly setClock?: (offsetMs: number) => void
  readonly hang?: (isHung: boolean) => void
  readonly cure?: (isCured: boolean) => void
  readonly holdPool?: (forMs: number) => void
}

/** Every role begins with this. The process ends with its parent. */
export function startRole(): Role {
  const settings = JSON.parse(process.env['MALOTE_CHAOS_ROLE'] ?? '{}') as RoleSettings
  const failpoints = createFailpoints()
  process.on('disconnect', () => process.exit(1))
  return {
    settings,
    failpoints,
    journal: openJournal(settings.journals, settings.name),
    pool: (config) => {
      const connection = { connectionString: settings.databaseUrl, application_name: settings.name }
      const pool = new pg.Pool({ ...connection, connectionTimeoutMillis: 5_000, ...config })
      pool.on('error', () => {}) // Connections are cut on purpose.
      return pool
    },
    serve: ({ stop, setClock, hang, cure, holdPool }) => {
      process.on('message', (command: Command) => {
        if (command.type === 'die-at') failpoints.arm(command.point, () => void process.kill(process.pid, 'SIGKILL'))
        else if (command.type === 'set-clock') setClock?.(command.offsetMs)
        else if (command.type === 'hang') hang?.(command.isHung)
        else if (command.type === 'cure') cure?.(command.isCured)
        else if (command.type === 'hold-pool') holdPool?.(command.forMs)
        else if (command.type === 'tell-memory') process.send?.({ type: 'memory', bytes: memory() } satisfies Report)
        else void stop().then(() => process.exit(0))
      })
      process.send?.({ type: 'ready' } satisfies Report)
    },
  }
}

/** What lives, not what the collector has not come round to. */
function memory(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
