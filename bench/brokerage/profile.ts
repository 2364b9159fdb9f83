// node scripts/dev.mjs exec node --conditions=@malote/source bench/brokerage/profile.ts [--seconds 10] [--functions 15]
// Where an order's time goes, from each step to the next, and its processor time: by process, by statement (pg_stat_statements), and with --functions also by function of each
// process (the V8 profiler, which costs time itself: then the table by process is not the one to quote).
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { SeedAccount } from '../../examples/brokerage/src/demo/accounts.ts'
import { type Brokerage, startBrokerage } from '../../examples/brokerage/src/demo/start-brokerage.ts'
import { percentile } from '../harness/statistics.ts'
import { measureBrokerage, throughputOf } from './contestants.ts'
import { type CpuByName, cpuOf } from './cpu.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    functions: { type: 'string', default: '0' },
    statements: { type: 'string', default: '30' },
  },
})
const [seconds, functions, statements] = [values.seconds, values.functions, values.statements].map(Number) as [
  number,
  number,
  number,
]

const accounts: readonly SeedAccount[] = Array.from({ length: 200 }, (_, n) => ({
  accountId: `BENCH-${String(n)}`,
  token: `bench-token-${String(n)}`,
  cashCentavos: 2_000_000_000,
  holding: 0,
  orderLimitCentavos: 5_000_000,
}))

interface Measured {
  /** What each process is called here, by its id. */
  readonly names: ReadonlyMap<number, string>
  /** On the clock of the profiles: monotonic, one for all processes, in microseconds. */
  readonly from: number
  readonly to: number
}

const monotonicUs = (): number => Number(process.hrtime.bigint() / 1_000n)

async function measure(): Promise<Measured> {
  const running = await startBrokerage({ broker: 'rabbitmq', witness: false, control: false, accounts })
  try {
    await loadStatistics(running)
    const measured = { tokens: accounts.map(({ token }) => token), measuredMs: 1_000 * seconds }
    await measureBrokerage(running, { ...measured, warmUpMs: 3_000, measuredMs: 1 })
    await running.pool.query('select pg_stat_statements_reset()')
    const [first, before, from] = [await countOrders(running), await cpuOf(running), monotonicUs()]
    const outcome = await measureBrokerage(running, { ...measured, warmUpMs: 0 })
    const [after, orders, to] = [await cpuOf(running), (await countOrders(running)) - first, monotonicUs()]
    const { latenciesMs } = outcome.load
    console.log(
      `${String(orders)} orders, ${throughputOf(outcome).toFixed(0)} settled a second, answer p95 ${percentile(latenciesMs, 0.95).toFixed(0)} ms\n`,
    )
    await printSteps(running, outcome.load.from)
    printProcesses(before, after, orders)
    await printStatements(running, orders)
    const roles = running.supervisor.status().flatMap(({ name, pid }) => (pid === null ? [] : [[pid, name] as const]))
    return { names: new Map(roles), from, to }
  } finally {
    await running.stop()
  }
}

/** The library is loaded at the server's start only; the roles bear with the restart. */
async function loadStatistics({ pool, services }: Brokerage): Promise<void> {
  await pool.query('alter system set shared_preload_libraries = pg_stat_statements')
  services.send({ type: 'database-outage', begins: true })
  services.send({ type: 'database-outage', begins: false })
  for (;;) {
    try {
      await pool.query('create extension pg_stat_statements')
      return
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100)) // Not back yet.
    }
  }
}

async function countOrders({ pool }: Brokerage): Promise<number> {
  return Number((await pool.query('select count(*) as count from orders')).rows[0].count)
}

/** How long orders waited for each step: what grows under load is where the queue is. */
async function printSteps({ pool }: Brokerage, from: Date): Promise<void> {
  const { rows } = await pool.query<{ state: string; p50: number; p99: number }>(
    `select state, percentile_cont(0.5) within group (order by ms) as p50, percentile_cont(0.99) within group (order by ms) as p99
     from (
       select state, version, 1000 * date_part('epoch', happened_at - lag(happened_at) over (partition by order_id order by version)) as ms
       from order_history join (select order_id from orders where created_at >= $1) as measured using (order_id)) as step
     where ms is not null group by state order by min(version)`,
    [from],
  )
  console.log('| from the step before to | p50, ms | p99, ms |\n| --- | --- | --- |')
  for (const { state, p50, p99 } of rows) console.log(`| ${state} | ${p50.toFixed(0)} | ${p99.toFixed(0)} |`)
  console.log('')
}

function printProcesses(before: CpuByName, after: CpuByName, orders: number): void {
  const used = [...after].map(([name, ms]) => [name, (ms - (before.get(name) ?? 0)) / orders] as const)
  console.log('| process | ms of an order |\n| --- | --- |')
  for (const [name, ms] of used.toSorted(([, a], [, b]) => b - a)) console.log(`| ${name} | ${ms.toFixed(3)} |`)
  console.log(`| all | ${used.reduce((sum, [, ms]) => sum + ms, 0).toFixed(3)} |\n`)
}

async function printStatements({ pool }: Brokerage, orders: number): Promise<void> {
  const { rows } = await pool.query<{ query: string; calls: number; ms: number; rows: number }>(
    `select query, sum(calls)::float8 as calls, sum(total_exec_time + total_plan_time)::float8 as ms, sum(rows)::float8 as rows
     from pg_stat_statements where toplevel group by query order by 3 desc`,
  )
  const sum = (of: (row: (typeof rows)[number]) => number): number => rows.reduce((all, row) => all + of(row), 0)
  console.log('| statement | ms of an order | calls of an order | rows of a call |\n| --- | --- | --- | --- |')
  for (const { query, calls, ms, rows: found } of rows.slice(0, statements)) {
    const text = query.replaceAll(/\s+/g, ' ').replaceAll('|', '¦').trim().slice(0, 110)
    console.log(
      `| ${text} | ${(ms / orders).toFixed(4)} | ${(calls / orders).toFixed(3)} | ${(found / calls).toFixed(1)} |`,
    )
  }
  const [ms, calls] = [sum((row) => row.ms), sum((row) => row.calls)]
  console.log(`| all | ${(ms / orders).toFixed(3)} | ${(calls / orders).toFixed(2)} | |\n`)
}

interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly startTime: number
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** Of the measured time only: what a process loads and compiles at its start is no part of an order. */
function printFunctions(folder: string, { names, from, to }: Measured): void {
  for (const file of readdirSync(folder)) {
    const role = names.get(Number(/\.(\d+)\.0\.\d+\.cpuprofile$/.exec(file)?.[1]))
    if (role === undefined) continue
    const { nodes, samples, timeDeltas, startTime } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Profile
    const [byFunction, byModule] = [new Map<string, number>(), new Map<string, number>()]
    const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
    let [busy, atUs] = [0, startTime]
    samples.forEach((id, at) => {
      const frame = frames.get(id)
      atUs += timeDeltas[at] ?? 0
      if (atUs < from || atUs > to || frame === undefined || frame.functionName === '(idle)') return
      const ms = Math.max(0, timeDeltas[at] ?? 0) / 1_000
      busy += ms
      const module = moduleOf(frame.url)
      const name = `${frame.functionName || '(anonymous)'} ${module}:${String(frame.lineNumber + 1)}`
      byFunction.set(name, (byFunction.get(name) ?? 0) + ms)
      byModule.set(module, (byModule.get(module) ?? 0) + ms)
    })
    console.log(`${role}: ${busy.toFixed(0)} ms busy`)
    for (const found of [byModule, byFunction])
      for (const [name, ms] of [...found].toSorted(([, a], [, b]) => b - a).slice(0, functions))
        console.log(`  ${((100 * ms) / busy).toFixed(1).padStart(5)} %  ${name}`)
  }
}

function moduleOf(url: string): string {
  if (url === '') return '(native)'
  const inPackage = url.split('/node_modules/').at(-1) as string
  if (inPackage !== url)
    return inPackage
      .split('/')
      .slice(0, inPackage.startsWith('@') ? 2 : 1)
      .join('/')
  return url.startsWith('node:') ? url : (/(packages|examples|bench)\/.*/.exec(url)?.[0] ?? url)
}

const profiles = functions > 0 ? mkdtempSync(join(tmpdir(), 'malote-profile-')) : null
if (profiles !== null) process.env['NODE_OPTIONS'] = `--cpu-prof --cpu-prof-dir=${profiles}`
const measured = await measure()
if (profiles !== null) {
  printFunctions(profiles, measured)
  rmSync(profiles, { recursive: true })
}
