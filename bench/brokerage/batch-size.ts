// node scripts/dev.mjs exec node --conditions=@malote/source bench/brokerage/batch-size.ts [--rounds 3]
// What a step of an order costs by how many orders share its transaction: processor time of this process and of its database sessions,
// in milliseconds an order. Processor time, so that other programs on the machine hardly matter.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startPostgres } from '@malote/testing/services/postgres'
import { closeOrders } from '../../examples/brokerage/src/balances/close-orders.ts'
import { announce } from '../../examples/brokerage/src/orders/order-events.ts'
import { advance, type StoredOrder } from '../../examples/brokerage/src/orders/order-store.ts'
import { placeOrders } from '../../examples/brokerage/src/orders/place-orders.ts'
import { createWorkbench, timeoutMs, type Workbench } from '../../examples/brokerage/test/workbench.ts'
import { spreadOf } from '../harness/statistics.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' } } })
const sizes = [16, 32, 64, 128, 256]
const orders = 1_024

type Costs = Map<string, { readonly here: number; readonly database: number }[]>

const service = await startPostgres({ durable: true })
const bench = await createWorkbench(service.url)
try {
  await bench.pool.query(
    'update accounts set orders_per_minute = 1000000, daily_limit_centavos = 100000000000, order_limit_centavos = 100000000',
  )
  const accounts = Array.from({ length: 50 }, () => bench.nextAccount())
  const costs: Costs = new Map()
  for (let round = 0; round < Number(values.rounds); round++)
    for (const size of sizes) await measureSteps(bench, costs, accounts, size)
  print(costs)
} finally {
  await bench.dispose()
  await service.stop('fast')
}

/** Takes orders from their acceptance to their end, so many in each transaction. */
async function measureSteps(
  { db, pool }: Workbench,
  costs: Costs,
  accounts: readonly string[],
  size: number,
): Promise<void> {
  const because = { causationId: 'message', actor: 'bench' }
  const step = async <Order>(
    name: string,
    given: readonly Order[],
    run: (batch: readonly Order[]) => Promise<readonly StoredOrder[]>,
  ): Promise<readonly StoredOrder[]> => {
    const { rows } = await pool.query<{ pid: number }>(
      `select pid from pg_stat_activity where backend_type = 'client backend'`,
    )
    const pids = rows.map(({ pid }) => pid)
    const [before, here] = [cpuMsOf(pids), process.cpuUsage()]
    const moved: StoredOrder[] = []
    for (let at = 0; at < given.length; at += size) moved.push(...(await run(given.slice(at, at + size))))
    const { user, system } = process.cpuUsage(here)
    const cost = { here: (user + system) / 1_000 / orders, database: (cpuMsOf(pids) - before) / orders }
    costs.set(`${name} ${String(size)}`, [...(costs.get(`${name} ${String(size)}`) ?? []), cost])
    return moved
  }

  const requests = Array.from({ length: orders }, (_, n) => ({
    accountId: accounts[n % accounts.length] as string,
    amountCentavos: 10,
    quantity: null,
    asset: 'PETR4',
    side: 'BUY' as const,
    correlationId: 'bench',
    requestId: 'bench',
  }))
  const placed = await step('place', requests, async (batch) => {
    const placements = await db.transaction().execute((tx) => placeOrders(tx, batch, timeoutMs))
    return placements.flatMap((placement) => (placement.outcome === 'accepted' ? [placement.order] : []))
  })
  if (placed.length < orders) throw new Error(`only ${String(placed.length)} orders were accepted`)
  const sent = await step('send', placed, async (batch) => {
    const steps = batch.map(({ orderId }) => ({ orderId, to: 'SENT_TO_B3' as const, ...because }))
    return [...(await advance(db, steps)).values()]
  })
  const filled = await step('record the fill', sent, (batch) =>
    db.transaction().execute(async (tx) => {
      const steps = batch.map(({ orderId, quantity, limitPriceCentavos }) => {
        const fill = { quantity, priceCentavos: limitPriceCentavos }
        return { orderId, to: 'FILLED' as const, fill, ...because }
      })
      const moved = [...(await advance(tx, steps)).values()]
      await announce(
        tx,
        moved.map((order) => ({ type: 'order.filled', order })),
      )
      return moved
    }),
  )
  await step('settle', filled, async (batch) => {
    await db.transaction().execute((tx) =>
      closeOrders(
        tx,
        batch.map((order) => ({ order, ...because })),
      ),
    )
    return []
  })
}

/** Linux counts in hundredths of a second. */
function cpuMsOf(pids: readonly number[]): number {
  const msOf = (pid: number): number => {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
    const columns = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return 10 * (Number(columns[11]) + Number(columns[12]))
  }
  return pids.reduce((sum, pid) => sum + msOf(pid), 0)
}

function print(costs: Costs): void {
  const names = [...new Set([...costs.keys()].map((key) => key.slice(0, key.lastIndexOf(' '))))]
  console.log(`| step | ${sizes.map((size) => `${String(size)} together`).join(' | ')} |`)
  console.log(`| --- | ${sizes.map(() => '---').join(' | ')} |`)
  for (const name of names) {
    const cells = sizes.map((size) => {
      const all = costs.get(`${name} ${String(size)}`) ?? []
      const [here, database] = [
        spreadOf(all.map((cost) => cost.here)).median,
        spreadOf(all.map((cost) => cost.database)).median,
      ]
      return `${(here + database).toFixed(2)} (${database.toFixed(2)})`
    })
    console.log(`| ${name} | ${cells.join(' | ')} |`)
  }
}
