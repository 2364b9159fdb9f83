import { randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import pg from 'pg'
import { openAccounts, type SeedAccount } from '../../examples/brokerage/src/demo/accounts.ts'
import { createProcesses, type Processes } from '../../examples/brokerage/src/demo/processes.ts'
import { createDatabase } from '../../examples/brokerage/src/database/database.ts'
import { migrateAll } from '../../examples/brokerage/src/database/migrate.ts'
import { prepareBroker } from '../../examples/brokerage/src/messaging/broker.ts'
import type { Benchmark, Figure, Row, Target, Unit } from '../harness/benchmark.ts'
import { atLeast, atMost, figureRow, percentile, spreadOf } from '../harness/statistics.ts'

const clients = 32
const warmUpMs = 3_000
const patienceMs = 45_000

/** Enough of them that requests seldom meet on one account's row. */
const accounts: readonly SeedAccount[] = Array.from({ length: 200 }, (_, n) => ({
  accountId: `BENCH-${String(n)}`,
  token: `bench-token-${String(n)}`,
  cashCentavos: 2_000_000_000,
  holding: 0,
  orderLimitCentavos: 5_000_000,
}))

export const brokerage: Benchmark = {
  name: 'brokerage',
  question: 'How many orders a second does the whole brokerage accept and settle, everything on this machine?',
  run: async ({ scale, log }) => {
    const measuredMs = Math.max(3_000, 10_000 * scale)
    const answers = []
    for (const broker of brokers) {
      const { load, settledMs } = await measure(broker.name, measuredMs)
      log(`${broker.name}: ${String(load.latenciesMs.length)} orders accepted, ${String(load.errors)} errors`)
      answers.push(answerOf(broker, load, settledMs))
    }
    return {
      figures: Object.assign({}, ...answers.map(({ figures }) => figures)) as Record<string, Figure>,
      rows: answers.flatMap(({ rows }) => rows),
      runs: 1,
      notes: [
        `${String(clients)} clients, each with one request under way, ${String(accounts.length)} accounts. API, relay, exchange, market, eight consumers in three processes, broker, database and this client share the cores. RabbitMQ is judged, being the broker people run on such a machine; the SQS emulator is the default of the demo.`,
      ],
    }
  },
}

interface MeasuredBroker {
  readonly name: string
  /** What its figures are called after. */
  readonly label: string
  readonly isJudged: boolean
}

const brokers: readonly MeasuredBroker[] = [
  { name: 'rabbitmq', label: '', isJudged: true },
  { name: 'sqs', label: ', on SQS (emulated)', isJudged: false },
]

async function measure(
  broker: string,
  measuredMs: number,
): Promise<{ readonly load: Load; readonly settledMs: readonly number[] }> {
  const processes = createProcesses()
  try {
    const { apiUrl, pool } = await start(processes, broker)
    const load = await sendOrders(apiUrl, measuredMs)
    const settledMs = await settlingTimes(pool)
    await pool.end()
    return { load, settledMs }
  } finally {
    await processes.stop()
  }
}

interface Load {
  readonly latenciesMs: readonly number[]
  readonly seconds: number
  readonly errors: number
}

function answerOf(
  { label, isJudged }: MeasuredBroker,
  { latenciesMs, seconds, errors }: Load,
  settledMs: readonly number[],
): { readonly figures: Readonly<Record<string, Figure>>; readonly rows: readonly Row[] } {
  const sorted = latenciesMs.toSorted((a, b) => a - b)
  const measured: readonly (readonly [id: string, what: string, value: number, unit: Unit, target: Target | null])[] = [
    [
      'accepted',
      'accepted orders, all processes on this machine',
      latenciesMs.length / seconds,
      'orders/s',
      atLeast(1_000, '/s'),
    ],
    ['p95', 'time to the answer, p95', percentile(sorted, 0.95), 'ms', atMost(500, ' ms')],
    ['p99', 'time to the answer, p99', percentile(sorted, 0.99), 'ms', null],
    ['settled-p50', 'commit of the order to its settlement, p50', percentile(settledMs, 0.5), 'ms', null],
    ['settled', 'commit of the order to its settlement, p99', percentile(settledMs, 0.99), 'ms', atMost(2_000, ' ms')],
    ['errors', 'answers other than 202', errors, 'errors', atMost(0, '')],
  ]
  const lines = measured.map(([id, what, value, unit, target]) => {
    const figure: Figure = { ...spreadOf([value]), unit }
    return {
      what: `${what}${label}`,
      figure,
      row: figureRow(`${id}${isJudged ? '' : '-sqs'}`, `${what}${label}`, figure, isJudged ? target : null),
    }
  })
  return {
    figures: Object.fromEntries(lines.map(({ what, figure }) => [what, figure])),
    rows: lines.map(({ row }) => row),
  }
}

async function start(processes: Processes, broker: string): Promise<{ apiUrl: string; pool: pg.Pool }> {
  const services = await processes.startServices({ BROKER: broker })
  const env = {
    DATABASE_URL: services.urls['database'] ?? '',
    BROKER: broker,
    BROKER_URL: services.urls['broker'] ?? '',
    IDEMPOTENCY_PEPPER: 'a benchmark keeps no secrets',
    JWT_SECRET: 'a benchmark keeps no secrets',
    CPF_SECRET: 'a benchmark keeps no secrets',
    // The accounts' long-lived tokens, and as many requests as the machine can take.
    DEMO: '1',
    REQUESTS_PER_MINUTE: 'none',
    LOG_LEVEL: 'error',
    B3_BEHAVIOUR: '{"outages":[]}',
  }
  const pool = new pg.Pool({ connectionString: env.DATABASE_URL, max: 4, options: '-c search_path=brokerage' })
  await migrateAll(pool)
  await openAccounts(createDatabase(pool), accounts)
  await prepareBroker(env)
  const { api } = await processes.startRoles(env)
  await processes.startRelay(env, null)
  return { apiUrl: api.urls['api'] ?? '', pool }
}

/** Every client sends its next order when the last was answered. The first seconds warm up and are not counted. */
async function sendOrders(apiUrl: string, measuredMs: number): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const startMs = performance.now()
  const latenciesMs: number[] = []
  let errors = 0
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let n = client; performance.now() - startMs < warmUpMs + measuredMs; n += clients) {
        const sentMs = performance.now()
        const status = await postOrder(apiUrl, agent, accounts[n % accounts.length] as SeedAccount)
        if (status !== 202) errors++
        else if (sentMs - startMs >= warmUpMs) latenciesMs.push(performance.now() - sentMs)
      }
    }),
  )
  agent.destroy()
  return { latenciesMs, seconds: measuredMs / 1000, errors }
}

function postOrder(apiUrl: string, agent: Agent, account: SeedAccount): Promise<number> {
  const body = JSON.stringify({ amount: 12.5, asset: 'PETR4', type: 'BUY' })
  const headers = {
    authorization: `Bearer ${account.token}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'idempotency-key': randomUUID(),
  }
  return new Promise((resolve, reject) => {
    const sent = request(`${apiUrl}/api/orders`, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Milliseconds from each order's commit to its end, ascending. An order that is still open after our patience counts up to now. */
async function settlingTimes(pool: pg.Pool): Promise<readonly number[]> {
  const giveUpMs = performance.now() + patienceMs
  const open = `state not in ('SETTLED', 'COMPENSATED', 'CANCELLED')`
  for (;;) {
    const { rows } = await pool.query(`select not exists (select from orders where ${open}) as done`)
    if (rows[0].done === true || performance.now() > giveUpMs) break
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  const { rows } = await pool.query<{ ms: number }>(
    `select 1000 * date_part('epoch', case when ${open} then clock_timestamp() else updated_at end - created_at) as ms from orders order by 1`,
  )
  return rows.map(({ ms }) => ms)
}
