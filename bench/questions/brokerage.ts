import type { SeedAccount } from '../../examples/brokerage/src/demo/accounts.ts'
import type { BrokerName } from '../../examples/brokerage/src/demo/arguments.ts'
import { type Brokerage, startBrokerage } from '../../examples/brokerage/src/demo/start-brokerage.ts'
import {
  measureBareRoute,
  measureBrokerage,
  measurePredecessor,
  type Measured,
  type Outcome,
  throughputOf,
  untilAllClosed,
} from '../brokerage/contestants.ts'
import { type CpuByName, cpuOf } from '../brokerage/cpu.ts'
import { clients, sendAtOnce } from '../brokerage/load.ts'
import type { Benchmark, Figure, Row, Target, Unit } from '../harness/benchmark.ts'
import {
  atLeast,
  atMost,
  figureRow,
  figuresOf,
  outrun,
  percentile,
  ratioOf,
  ratioRow,
  spreadOf,
} from '../harness/statistics.ts'

const warmUpMs = 3_000
const hotOrders = 100

/** Enough of them that requests seldom meet on one account's row. */
const accounts: readonly SeedAccount[] = Array.from({ length: 200 }, (_, n) => ({
  accountId: `BENCH-${String(n)}`,
  token: `bench-token-${String(n)}`,
  cashCentavos: 2_000_000_000,
  holding: 0,
  orderLimitCentavos: 5_000_000,
}))
const tokens = accounts.map(({ token }) => token)

export const brokerage: Benchmark = {
  name: 'brokerage',
  question: 'How many orders a second does the whole brokerage accept and settle, everything on this machine?',
  rounds: 3,
  run: async ({ scale, rounds, log }) => {
    const measured: Measured = { tokens, warmUpMs, measuredMs: Math.max(3_000, 8_000 * scale) }
    const judged = await judge(rounds, measured, log)
    const shown: { readonly figures: Record<string, Figure>; readonly rows: readonly Row[] }[] = []
    for (const broker of ['sqs', 'kafka'] as const) {
      const outcome = await onItsOwn(broker, measured)
      log(`${broker}: ${throughputOf(outcome.outcome).toFixed(0)} orders/s`)
      shown.push(figuresOfOutcome([outcome], `, on ${broker}`, broker))
    }
    return {
      figures: Object.assign({}, judged.figures, ...shown.map(({ figures }) => figures)) as Record<string, Figure>,
      rows: [...judged.rows, ...shown.flatMap(({ rows }) => rows)],
      runs: judged.runs,
      notes: [
        `${String(clients)} clients, each with one request under way, ${String(accounts.length)} accounts. API, relay, exchange, market, five consumers in three processes, RabbitMQ, PostgreSQL (durable) and this client share the cores. An order counts when it was accepted and settled in the measured time: the smaller of the two rates.`,
        'bare route: one Fastify route that inserts one row and commits, on the same PostgreSQL. predecessor: `bench/brokerage/predecessor.ts`. Both run beside the idle brokerage, whose roles then wait for messages.',
        'Processor time is what the kernel has counted for each process and its children, divided by the orders of the round, its warm-up included.',
      ],
    }
  },
}

interface Run {
  readonly outcome: Outcome
  readonly settledMs: readonly number[]
  /** Processor time of one order in milliseconds, by process. */
  readonly cpu: CpuByName
}

/** RabbitMQ is judged, being the broker people run on such a machine. Everything compared is compared within a round. */
async function judge(rounds: number, measured: Measured, log: (line: string) => void) {
  const running = await startBrokerage({ broker: 'rabbitmq', witness: false, control: false, accounts })
  try {
    const [ours, bare, predecessor, hot, spread]: [Run[], number[], number[], number[], number[]] = [[], [], [], [], []]
    for (let round = 0; round < rounds; round++) {
      bare.push(throughputOf(await measureBareRoute(running, { ...measured, warmUpMs: 1_000 })))
      ours.push(await measureOurs(running, measured))
      predecessor.push(throughputOf(await measurePredecessor(running, measured)))
      hot.push(await burstMs(running, Array<string>(hotOrders).fill(tokens[0] as string)))
      spread.push(await burstMs(running, tokens.slice(1, hotOrders + 1)))
      const orders = ours.map(({ outcome }) => throughputOf(outcome))
      log(
        `round ${String(round + 1)}: ${last(orders).toFixed(0)} orders/s, bare route ${last(bare).toFixed(0)}, predecessor ${last(predecessor).toFixed(0)}; ${String(hotOrders)} orders of one account ${last(hot).toFixed(0)} ms, of as many accounts ${last(spread).toFixed(0)} ms`,
      )
    }
    const orders = ours.map(({ outcome }) => throughputOf(outcome))
    const { figures, rows } = figuresOfOutcome(ours, '', '')
    const cpu = ours.map((run) => [...run.cpu.values()].reduce((sum, ms) => sum + ms, 0))
    return {
      figures: {
        ...figures,
        ...figuresOf({ 'bare route': bare, predecessor }, 'requests/s'),
        ...figuresOf({ [`${String(hotOrders)} orders of one account`]: hot, 'of as many accounts': spread }, 'ms'),
      },
      rows: [
        ratioRow(
          'bare-route',
          'accepted and settled orders ÷ requests of a bare route',
          ratioOf(orders, bare),
          atLeast(0.6),
          outrun('a bare route that inserts one row'),
        ),
        ratioRow(
          'predecessor',
          'accepted and settled orders ÷ the predecessor’s',
          ratioOf(orders, predecessor),
          atLeast(5),
          outrun('the predecessors’ way'),
        ),
        ratioRow(
          'hot-account',
          `${String(hotOrders)} orders of one account ÷ of as many accounts, time`,
          ratioOf(hot, spread),
          null,
        ),
        ...rows,
        row(
          'hot',
          `${String(hotOrders)} orders on one account, until all are settled`,
          hot,
          'ms',
          atMost(2_000, ' ms'),
        ),
        row('cpu', 'processor time of an order, all processes but the client', cpu, 'ms', atMost(2, ' ms')),
        ...cpuRows(ours),
      ],
      runs: rounds,
    }
  } finally {
    await running.stop()
  }
}

/** Who spends it: each process of the brokerage, the one that spends most first. */
function cpuRows(runs: readonly Run[]): readonly Row[] {
  const names = [...last(runs).cpu].toSorted(([, a], [, b]) => b - a).map(([name]) => name)
  return names.map((name) =>
    row(
      `cpu-${name}`,
      `of it ${name}`,
      runs.map(({ cpu }) => cpu.get(name) ?? 0),
      'ms',
      null,
    ),
  )
}

async function onItsOwn(broker: BrokerName, measured: Measured): Promise<Run> {
  const running = await startBrokerage({ broker, witness: false, control: false, accounts })
  try {
    return await measureOurs(running, measured)
  } finally {
    await running.stop()
  }
}

async function measureOurs(running: Brokerage, measured: Measured): Promise<Run> {
  const { pool } = running
  const first = await countOrders(pool)
  const startedAt = new Date()
  const before = await cpuOf(running)
  const outcome = await measureBrokerage(running, measured)
  const orders = (await countOrders(pool)) - first
  const cpu = new Map([...(await cpuOf(running))].map(([name, ms]) => [name, (ms - (before.get(name) ?? 0)) / orders]))
  const { rows } = await pool.query<{ ms: number }>(
    `select 1000 * date_part('epoch', case when state = 'SETTLED' then updated_at else clock_timestamp() end - created_at) as ms
     from orders where created_at >= $1 order by 1`,
    [startedAt],
  )
  return { outcome, settledMs: rows.map(({ ms }) => ms), cpu }
}

const countOrders = async (pool: Brokerage['pool']): Promise<number> =>
  Number((await pool.query('select count(*) as count from orders')).rows[0].count)

/** Sends orders at once. @returns milliseconds from the first one's commit until the last one is settled */
async function burstMs({ apiUrl, pool }: Brokerage, from: readonly string[]): Promise<number> {
  const startedAt = new Date()
  const accepted = await sendAtOnce(apiUrl, from)
  if (accepted !== from.length) throw new Error(`of ${String(from.length)} orders ${String(accepted)} were accepted`)
  await untilAllClosed(pool)
  const { rows } = await pool.query<{ ms: number }>(
    `select 1000 * date_part('epoch', max(updated_at) - min(created_at)) as ms from orders where created_at >= $1`,
    [startedAt],
  )
  return Number(rows[0]?.ms)
}

function figuresOfOutcome(runs: readonly Run[], label: string, id: string) {
  const judged = id === ''
  const of = (valueOf: (run: Run) => number): readonly number[] => runs.map(valueOf)
  const latency = (share: number) => of(({ outcome }) => percentile(outcome.load.latenciesMs, share))
  const settling = (share: number) => of(({ settledMs }) => percentile(settledMs, share))
  const measured: readonly (readonly [
    id: string,
    what: string,
    values: readonly number[],
    unit: Unit,
    Target | null,
  ])[] = [
    [
      'accepted',
      'accepted and settled orders, all processes on this machine',
      of(({ outcome }) => throughputOf(outcome)),
      'orders/s',
      atLeast(1_000, '/s'),
    ],
    ['p95', 'time to the answer, p95', latency(0.95), 'ms', atMost(500, ' ms')],
    ['p99', 'time to the answer, p99', latency(0.99), 'ms', atMost(1_000, ' ms')],
    ['settled-p50', 'commit of the order to its settlement, p50', settling(0.5), 'ms', null],
    ['settled', 'commit of the order to its settlement, p99', settling(0.99), 'ms', atMost(2_000, ' ms')],
    ['errors', 'answers other than 202', of(({ outcome }) => outcome.load.errors), 'errors', atMost(0, '')],
  ]
  return {
    figures: Object.fromEntries(
      measured.map(([, what, values, unit]) => [`${what}${label}`, { ...spreadOf(values), unit }]),
    ),
    rows: measured.map(([name, what, values, unit, target]) =>
      row(judged ? name : `${name}-${id}`, `${what}${label}`, values, unit, judged ? target : null),
    ),
  }
}

function row(id: string, label: string, values: readonly number[], unit: Unit, target: Target | null): Row {
  return figureRow(id, label, { ...spreadOf(values), unit }, target)
}

function last<T>(values: readonly T[]): T {
  return values.at(-1) as T
}
