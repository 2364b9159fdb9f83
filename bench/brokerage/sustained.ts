// npm run sustained -- --minutes 30
// Load at four fifths of what the machine can take, for as long as asked. In the first half a role is killed every minute; in the
// second half nothing is, and memory, lag and tables must stay as they are. At the end every invariant of the demo is checked.
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Agent } from 'node:http'
import { readFileSync } from 'node:fs'
import type { SeedAccount } from '../../examples/brokerage/src/demo/accounts.ts'
import type { BrokerName } from '../../examples/brokerage/src/demo/arguments.ts'
import { brokers } from '../../examples/brokerage/src/demo/arguments.ts'
import { checkInvariants } from '../../examples/brokerage/src/demo/invariants.ts'
import { isQuiet, measure, verify } from '../../examples/brokerage/src/demo/measure.ts'
import { type Brokerage, startBrokerage } from '../../examples/brokerage/src/demo/start-brokerage.ts'
import type { RoleName } from '../../examples/brokerage/src/supervisor/supervisor.ts'
import { percentile } from '../harness/statistics.ts'
import { clients, postOrder, sendOrders } from './load.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    broker: { type: 'string', default: 'rabbitmq' },
    rate: { type: 'string' },
  },
})
const minutes = Number(values.minutes)
const broker = brokers.find((name) => name === values.broker)
if (!(minutes > 0) || broker === undefined || (values.rate !== undefined && !(Number(values.rate) > 0))) {
  console.error(
    `npm run sustained -- [--minutes 30] [--broker ${brokers.join('|')}] [--rate ORDERS_A_SECOND, instead of 80 % of the maximum]`,
  )
  process.exit(2)
}

const accounts: readonly SeedAccount[] = Array.from({ length: 200 }, (_, n) => ({
  accountId: `LONG-${String(n)}`,
  token: `long-token-${String(n)}`,
  cashCentavos: 900_000_000_000,
  holding: 0,
  orderLimitCentavos: 5_000_000,
}))
const tokens = accounts.map(({ token }) => token)

/** One look at everything that must not grow. */
interface Sample {
  /** Resident memory of each role, in MB. */
  readonly memoryMb: Readonly<Record<string, number>>
  readonly outbox: number
  /** Of the outbox, its schedule and its dead letters, in MB. */
  readonly tablesMb: number
  /** From an order's commit to its settlement, of the last ten seconds, in milliseconds. */
  readonly settledP99Ms: number
}

async function run(length: number, on: BrokerName): Promise<number> {
  const running = await startBrokerage({ broker: on, witness: true, control: false, accounts })
  try {
    const rate = values.rate === undefined ? 0.8 * (await maximum(running)) : Number(values.rate)
    console.log(`${rate.toFixed(0)} orders/s on ${on} for ${String(length)} minutes`)
    const endMs = performance.now() + length * 60_000
    const [sent, samples, kills] = await Promise.all([
      send(running, rate, endMs),
      watch(running, endMs),
      killRoles(running, performance.now() + length * 30_000),
    ])
    const findings = [...judge(samples), ...(await broken(running))]
    console.log(
      `${String(sent.accepted)} orders accepted, other answers: ${othersOf(sent)}, ${String(kills)} roles killed; ` +
        (findings.length === 0 ? 'memory, lag and tables flat, every invariant holds' : findings.join('; ')),
    )
    return findings.length === 0 ? 0 : 1
  } finally {
    await running.stop()
  }
}

async function maximum({ apiUrl, pool }: Brokerage): Promise<number> {
  const load = await sendOrders({ apiUrl, tokens, warmUpMs: 5_000, measuredMs: 10_000 })
  const { rows } = await pool.query(
    `select count(*) as settled from orders where state = 'SETTLED' and updated_at between $1 and $2`,
    [load.from, load.to],
  )
  return Math.min(load.latenciesMs.length, Number(rows[0].settled)) / load.seconds
}

/** So many requests a second, evenly, and never more than the usual number of clients has under way. */
async function send({ apiUrl }: Brokerage, rate: number, endMs: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const startMs = performance.now()
  const counts = { accepted: 0, others: new Map<string, number>() }
  let next = 0
  await Promise.all(
    Array.from({ length: clients }, async () => {
      for (;;) {
        const n = next++
        const dueMs = startMs + (n / rate) * 1_000
        if (dueMs > endMs) return
        if (dueMs > performance.now()) await pause(dueMs - performance.now())
        // The API may be the role that was killed: what was not answered is not counted, and its key never comes again.
        const answer = await postOrder(apiUrl, agent, tokens[n % tokens.length] as string).catch(
          (error: NodeJS.ErrnoException) => error.code ?? error.message,
        )
        if (answer === 202) counts.accepted++
        else counts.others.set(String(answer), (counts.others.get(String(answer)) ?? 0) + 1)
      }
    }),
  )
  agent.destroy()
  return counts
}

/** By status, or by error where there was no answer. */
const othersOf = ({ others }: { readonly others: ReadonlyMap<string, number> }): string =>
  [...others].map(([answer, count]) => `${answer} ${String(count)} times`).join(', ') || 'none'

const roles: readonly RoleName[] = ['relay', 'orders', 'balances', 'listeners', 'b3', 'api']

async function killRoles({ supervisor }: Brokerage, untilMs: number): Promise<number> {
  let kills = 0
  for (;;) {
    await pause(60_000 * Math.min(1, minutes / 10))
    if (performance.now() > untilMs) return kills
    if (await supervisor.kill(roles[kills % roles.length] as RoleName)) kills++
  }
}

async function watch(running: Brokerage, endMs: number): Promise<readonly Sample[]> {
  const samples: Sample[] = []
  while (performance.now() < endMs) {
    await pause(10_000)
    const sample = await look(running)
    samples.push(sample)
    const memory = Object.entries(sample.memoryMb).map(([name, mb]) => `${name} ${mb.toFixed(0)}`)
    console.log(
      `outbox ${String(sample.outbox)}, tables ${sample.tablesMb.toFixed(1)} MB, settled p99 ${sample.settledP99Ms.toFixed(0)} ms, memory ${memory.join(' ')} MB`,
    )
  }
  return samples
}

async function look({ supervisor, pool }: Brokerage): Promise<Sample> {
  const { rows } = await pool.query(`
    select (select count(*) from malote.messages) as outbox,
      (select sum(pg_total_relation_size(relation)) from unnest(array['messages', 'scheduled_messages', 'dead_letters']) as name,
        to_regclass('malote.' || name) as relation) as bytes,
      (select coalesce(percentile_cont(0.99) within group (order by 1000 * date_part('epoch', updated_at - created_at)), 0)
        from orders where state = 'SETTLED' and updated_at > clock_timestamp() - interval '10 seconds') as p99`)
  return {
    memoryMb: Object.fromEntries(
      supervisor.status().map(({ name, pid }) => [name, pid === null ? 0 : residentMb(pid)]),
    ),
    outbox: Number(rows[0].outbox),
    tablesMb: Number(rows[0].bytes) / 1_048_576,
    settledP99Ms: Number(rows[0].p99),
  }
}

function residentMb(pid: number): number {
  try {
    const kB = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1]
    return Number(kB ?? 0) / 1_024
  } catch {
    return 0 // Ended, or no /proc here.
  }
}

/** The last quarter of the run against the one before: both without kills. */
function judge(samples: readonly Sample[]): readonly string[] {
  const quarter = Math.floor(samples.length / 4)
  const [third, fourth] = [samples.slice(2 * quarter, 3 * quarter), samples.slice(3 * quarter)]
  if (third.length === 0) return []
  const grown = (what: string, of: (sample: Sample) => number, slack: number): readonly string[] => {
    // A role that was on its way back has no memory to compare.
    const [before, after] = [third, fourth].map((part) => median(part.map(of).filter((value) => value > 0))) as [
      number,
      number,
    ]
    return after > before * 1.25 + slack ? [`${what} grew from ${before.toFixed(1)} to ${after.toFixed(1)}`] : []
  }
  return [
    ...Object.keys(fourth[0]?.memoryMb ?? {}).flatMap((role) =>
      grown(`memory of ${role} (MB)`, ({ memoryMb }) => memoryMb[role] ?? 0, 20),
    ),
    ...grown('outbox', ({ outbox }) => outbox, 200),
    ...grown('tables (MB)', ({ tablesMb }) => tablesMb, 5),
    ...grown('settled p99 (ms)', ({ settledP99Ms }) => settledP99Ms, 500),
  ]
}

const median = (of: readonly number[]): number =>
  percentile(
    of.toSorted((a, b) => a - b),
    0.5,
  )

/** What of the demo's invariants does not hold once everything has come to rest. */
async function broken({ pool, tally }: Brokerage): Promise<readonly string[]> {
  const giveUpMs = performance.now() + 120_000
  let measured = await measure(pool)
  while (!isQuiet(measured) && performance.now() < giveUpMs) {
    await pause(1_000)
    measured = await measure(pool)
  }
  const feed = { accepted: 0, refused: 0, replayed: 0, orderIds: new Set<string>(), mismatchedReplays: 0 }
  const verified = await verify(pool, [])
  const none = { relayKills: 0, relayKillsWanted: 0, brokerOutage: false }
  return checkInvariants({ feed, measured, verified, ...none, ...tally }).flatMap(({ rule, holds, found }) =>
    holds ? [] : [`${rule}: ${found}`],
  )
}

process.exitCode = await run(minutes, broker)
