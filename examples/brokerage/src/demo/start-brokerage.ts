import type pg from 'pg'
import { createDatabase, createPool } from '../database/database.ts'
import { migrateAll, migrateWitness } from '../database/migrate.ts'
import { prepareBroker } from '../messaging/broker.ts'
import type { Child } from '../supervisor/child.ts'
import type { Supervisor } from '../supervisor/supervisor.ts'
import { demoSecret, openAccounts, type SeedAccount } from './accounts.ts'
import type { BrokerName } from './arguments.ts'
import { startControl } from './control-server.ts'
import { createProcesses, type Tally } from './processes.ts'

export interface StartOptions {
  readonly broker: BrokerName
  /** Settings of the roles that differ from a demo's. */
  readonly env?: Readonly<Record<string, string>>
  /** Count messages and effects without trusting the libraries. Costs writes. */
  readonly witness: boolean
  /** Take faults and kills through the API. */
  readonly control: boolean
  readonly accounts?: readonly SeedAccount[]
}

/** A brokerage with every process running and no order yet. */
export interface Brokerage {
  readonly apiUrl: string
  readonly exchangeUrl: string
  readonly databaseUrl: string
  readonly brokerUrl: string
  readonly pool: pg.Pool
  readonly supervisor: Supervisor
  /** The process of the database and the broker. */
  readonly services: Child
  readonly tally: Tally
  stop(): Promise<void>
}

/** Starts database, broker and all roles, for tests and measurements; `run-demo.ts` is what people see. */
export async function startBrokerage(options: StartOptions): Promise<Brokerage> {
  const processes = createProcesses()
  try {
    const services = await processes.startServices({ BROKER: options.broker })
    const pool = createPool(services.urls['database'] ?? '', 4)
    processes.atStop(() => pool.end())
    const env: Record<string, string> = {
      DATABASE_URL: services.urls['database'] ?? '',
      BROKER: options.broker,
      BROKER_URL: services.urls['broker'] ?? '',
      IDEMPOTENCY_PEPPER: demoSecret,
      JWT_SECRET: demoSecret,
      CPF_SECRET: demoSecret,
      DEMO: '1',
      LOG_LEVEL: 'error',
      REQUESTS_PER_MINUTE: 'none',
      B3_BEHAVIOUR: '{"outages":[]}',
      ...(options.witness ? { WITNESS: '1' } : {}),
      ...options.env,
    }
    await migrateAll(pool)
    if (options.witness) await migrateWitness(pool)
    await openAccounts(createDatabase(pool), options.accounts)
    await prepareBroker(env)
    if (options.control) {
      const control = await startControl({ supervisor: processes.supervisor, services, pool })
      processes.watch(control)
      processes.atStop(() => control.close())
      env['CONTROL_URL'] = control.url
    }
    const { api, exchange } = await processes.startRoles(env)
    await processes.startRelay(env, null)
    return {
      apiUrl: api.urls['api'] ?? '',
      exchangeUrl: exchange.urls['b3'] ?? '',
      databaseUrl: services.urls['database'] ?? '',
      brokerUrl: services.urls['broker'] ?? '',
      pool,
      supervisor: processes.supervisor,
      services,
      tally: processes.tally,
      stop: () => processes.stop(),
    }
  } catch (error) {
    await processes.stop()
    throw error
  }
}
