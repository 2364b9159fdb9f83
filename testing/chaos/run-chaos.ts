import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkHistory, type Verdict } from '../history/check-history.ts'
import type { History } from '../history/history.ts'
import { HarnessError } from '../harness-error.ts'
import { scaled } from '../slowness.ts'
import { type Cluster, type ClusterOptions, keysOf, startCluster } from './cluster.ts'
import { startCutOffs } from './cut-offs.ts'
import { gatherHistory } from './gather.ts'
import { type Drain, drain } from './drain.ts'
import { createInjector, type Injector } from './inject.ts'
import { nowMs, readJournals } from './journal.ts'
import { type Load, watchLoad } from './load.ts'
import { ignoredOperators } from './operator-faults.ts'
import { planFaults } from './plan.ts'
import type { RoleName } from './processes.ts'
import { hollowOutages, resumptionOf } from './resumption.ts'
import { hungKeys } from './roles/hanging-publisher.ts'
import { poolsNotHeld } from './shortage-faults.ts'
import { slowest } from './slowest.ts'
import { kindsDone, kindsNotRun, kindsSkipped } from './surroundings.ts'

export interface ChaosOptions extends ClusterOptions {
  /** How long faults are injected; starting, draining and checking come on top. */
  readonly seconds: number
  /** Mean time between two faults. */
  readonly everyMs: number
  /** How long what relays or consumers need is away; null: drawn by the plan. */
  readonly outageMs: number | null
  /** How long a quiet machine may get on with nothing before the run is over, in milliseconds. */
  readonly drainMs: number
  /** Leave out the wait that shows who does not work again after the last fault: for runs that ask something else. */
  readonly isHasty: boolean
}

export interface ChaosReport extends Verdict {
  readonly seed: number
  readonly seconds: number
  readonly load?: Load
  /** How long each outage of a destination, or of what consumers need, lasted, where the run was told. */
  readonly outageMs?: number
  /** Kind → how many were injected. */
  readonly faults: Readonly<Record<string, number>>
  /** Kind → why this broker has no such thing. */
  readonly skipped?: Readonly<Record<string, string>>
  /** Kind → what this machine lacks for it. */
  readonly notRun?: Readonly<Record<string, string>>
  /** Kind of outage of what consumers need → how long after each mend they went on. */
  readonly resumedMs?: Readonly<Record<string, readonly number[]>>
  /** What messages paid that were not made to fail, and keys that were held behind one at the end. */
  readonly paid?: { readonly attempts: number; readonly deadLetters: number; readonly heldKeys: number }
  /** Lines an operator drew meanwhile, and how many of them were said to be complete. */
  readonly cutOffs?: { readonly drawn: number; readonly complete: number }
}

/** What the processes look like after it all, beside what they did. */
export interface Health {
  /** Connections of each living relay, before the first fault and after the last. */
  readonly relayConnections: { readonly before: readonly number[]; readonly after: readonly number[] }
  /** Heap in use of each process that lived from start to end, in bytes. */
  readonly memory: readonly { readonly name: string; readonly before: number; readonly after: number }[]
  /** Living relays and consumers that did nothing after the last fault. */
  readonly idle: readonly string[]
  /** What processes said last that ended by themselves. */
  readonly crashed: readonly string[]
  /** Had to be killed at the end. */
  readonly stuck: readonly string[]
  readonly drain: Drain
  /** Relays that handed out more bytes at a time than they may have in memory. */
  readonly overfull: readonly string[]
  /** Times at which one destination hung, nothing else was wrong, and nothing went to the others. */
  readonly starved: readonly string[]
  /** Lanes that are gone from their table: what lies in them is never published. */
  readonly missingLanes: number
  /** Outages of what consumers need that refused nobody. */
  readonly hollow: readonly string[]
  /** The messages that waited longest from commit to first publish, for a look at what held them up. */
  readonly slowest: readonly string[]
}

export interface ChaosRun {
  readonly report: ChaosReport
  readonly health: Health
  readonly history: History
}

/** Runs writers, relays and consumers, hurts them by the seed's plan, lets them finish, and judges what happened. */
export async function runChaos(wanted: ChaosOptions): Promise<ChaosRun> {
  const { say } = wanted
  say(`seed ${String(wanted.seed)}`)
  const [skipped, notRun, { kinds, leftOut }] = [kindsSkipped(wanted), kindsNotRun(wanted), kindsDone(wanted)]
  for (const line of leftOut) say(line)
  const options = { ...wanted, kinds }
  const cluster = await startCluster(options)
  try {
    await lanesSharedOut(cluster)
    await sleep(1_500) // Traffic flows before the first fault.
    const before = await measure(cluster)
    const injector = createInjector(cluster, keysOf(options))
    const operator = startCutOffs(cluster, options.variant)
    const endOfWatch = watchLoad()
    await injectAll(options, injector)
    const load = endOfWatch()
    await complete(cluster, scaled(20_000))
    const healedAtMs = nowMs()
    if (!options.isHasty) await busyAgain(cluster, healedAtMs)
    const stuck = [...(await cluster.stopRole('writer'))]
    const isCurable = options.kinds.includes('replay-dead-letters')
    const cured = new AbortController()
    const curing = isCurable ? injector.cureForGood(cured.signal) : Promise.resolve()
    const drained = await drain(cluster, scaled(options.drainMs))
    cured.abort()
    await curing
    const after = await measure(cluster)
    const missing = await missingLanes(cluster)
    const idle = options.isHasty ? [] : idleSince(cluster, healedAtMs)
    const cutOffs = await operator.end()
    stuck.push(...(await cluster.stopRole('relay')), ...(await cluster.stopRole('consumer')))

    const history = await gatherHistory(cluster, injector.injected, cutOffs)
    const journals = readJournals(cluster.journals)
    if (options.keep) writeFileSync(join(cluster.journals, '../history.json'), JSON.stringify(history))
    const memory = before.memory.flatMap(({ name, bytes }) => {
      const later = after.memory.find((one) => one.name === name)
      return later === undefined ? [] : [{ name, before: bytes, after: later.bytes }]
    })
    const relayConnections = { before: before.relayConnections, after: after.relayConnections }
    const faults = Object.fromEntries(
      [...Map.groupBy(injector.injected, ({ kind }) => kind)].map(([kind, all]) => [kind, all.length]),
    )
    return {
      history,
      health: {
        relayConnections,
        memory,
        idle,
        crashed: cluster.crashes,
        stuck,
        drain: drained,
        overfull: overfull(cluster),
        starved: starved(history),
        missingLanes: missing,
        hollow: [
          ...hollowOutages(history.faults, journals),
          ...injector.hollow,
          ...ignoredOperators(history, isCurable),
          ...poolsNotHeld(history.faults, journals),
        ],
        slowest: slowest(history),
      },
      report: {
        seed: options.seed,
        seconds: options.seconds,
        load,
        ...(options.outageMs === null ? {} : { outageMs: options.outageMs }),
        faults,
        ...(Object.keys(skipped).length === 0 ? {} : { skipped }),
        ...(Object.keys(notRun).length === 0 ? {} : { notRun }),
        resumedMs: resumptionOf(history.faults, journals),
        paid: await paidBy(history, cluster),
        cutOffs: { drawn: cutOffs.length, complete: cutOffs.filter(({ isComplete }) => isComplete).length },
        ...checkHistory(history),
      },
    }
  } finally {
    await cluster.close()
  }
}

/** An outage costs nobody anything: of messages that no run made to fail these are all 0 then, kills of relays apart. */
async function paidBy(
  { committed, deadLetters }: History,
  { journals, pool }: Cluster,
): Promise<NonNullable<ChaosReport['paid']>> {
  const isInnocent = new Set(committed.filter(({ isDoomed }) => !isDoomed).map(({ id }) => id))
  const entries = [...readJournals(journals).values()].flat()
  const { rows } = await pool.query<{ keys: number }>('select count(*)::integer as keys from malote.held_keys')
  return {
    attempts: entries.filter((entry) => entry.what === 'attempt-paid' && isInnocent.has(entry.id)).length,
    deadLetters: deadLetters.filter(({ id }) => isInnocent.has(id)).length,
    heldKeys: rows[0]?.keys ?? 0,
  }
}

async function injectAll(options: ChaosOptions, injector: Injector): Promise<void> {
  const startMs = nowMs()
  const running: Promise<void>[] = []
  for (const fault of planFaults(options)) {
    await sleep(Math.max(0, startMs + fault.atMs - nowMs()))
    options.say(
      `${String(Math.round(fault.atMs / 1_000)).padStart(4)} s  ${fault.kind}${fault.point === null ? '' : ` (${fault.point})`}`,
    )
    const injecting = injector.inject(fault)
    injecting.catch(() => {}) // It is awaited below: until then nobody else listens.
    running.push(injecting)
  }
  await sleep(Math.max(0, startMs + options.seconds * 1_000 - nowMs()))
  await Promise.all(running)
}

/** Waits until each relay owns lanes: on a busy machine the last one joins late. */
async function lanesSharedOut(cluster: Cluster): Promise<void> {
  const relays = cluster.of('relay').length
  const deadlineMs = nowMs() + scaled(20_000)
  const owners = async (): Promise<number> => {
    const { rows } = await cluster.pool.query<{ owners: number }>(
      'select count(distinct owner)::integer as owners from malote.lanes',
    )
    return rows[0]?.owners ?? 0
  }
  while ((await owners()) < relays) {
    if (nowMs() > deadlineMs) throw new HarnessError('not every relay has got lanes')
    await sleep(100)
  }
}

async function missingLanes({ pool }: Cluster): Promise<number> {
  const { rows } = await pool.query<{ missing: number }>('select 64 - count(*)::integer as missing from malote.lanes')
  return rows[0]?.missing ?? Number.NaN
}

/** Everybody must work again, under load: waits until each has done something, three seconds at least. */
async function busyAgain(cluster: Cluster, sinceMs: number): Promise<void> {
  const deadlineMs = sinceMs + scaled(20_000)
  await sleep(3_000)
  while (idleSince(cluster, sinceMs).length > 0 && nowMs() < deadlineMs) await sleep(250)
}

/** Waits until every process that was killed is replaced: on a busy machine that takes seconds. */
async function complete(cluster: Cluster, timeoutMs: number): Promise<void> {
  const deadlineMs = nowMs() + timeoutMs
  const isMissing = (): boolean => cluster.slots.some((slot) => slot.isWanted && slot.process?.isAlive !== true)
  while (isMissing() && nowMs() < deadlineMs) await sleep(100)
}

interface Measurement {
  readonly relayConnections: readonly number[]
  readonly memory: readonly { readonly name: string; readonly bytes: number }[]
}

async function measure(cluster: Cluster): Promise<Measurement> {
  const processes = cluster.slots.flatMap(({ process }) => (process?.isAlive === true ? [process] : []))
  const { rows } = await cluster.pool.query<{ name: string; connections: number }>(
    `select application_name as name, count(*)::integer as connections from pg_stat_activity group by 1`,
  )
  const connections = new Map(rows.map((row) => [row.name, row.connections]))
  return {
    relayConnections: processes.filter(({ role }) => role === 'relay').map(({ name }) => connections.get(name) ?? 0),
    memory: await Promise.all(
      processes.map(async (process) => ({ name: process.name, bytes: await process.memory() })),
    ),
  }
}

/** A role whose processes compete (one active consumer on RabbitMQ) is idle only when all of them are. */
function idleSince(cluster: Cluster, sinceMs: number): string[] {
  const journals = readJournals(cluster.journals)
  const isIdle = (name: string): boolean => journals.get(name)?.some((entry) => entry.atMs > sinceMs) !== true
  const living = (role: RoleName): string[] => cluster.of(role).flatMap(({ process }) => process?.name ?? [])
  const consumers = living('consumer')
  return [...living('relay').filter(isIdle), ...(consumers.every(isIdle) ? consumers : [])]
}

function overfull(cluster: Cluster): string[] {
  return [...readJournals(cluster.journals)].flatMap(([name, entries]) => {
    const bytes = entries.flatMap((entry) => (entry.what === 'overfull' ? [entry.bytes] : []))
    return bytes.length === 0 ? [] : [`${name} held ${String(Math.max(...bytes))} bytes`]
  })
}

/** From when a hanging destination has had time to be noticed, and until a publish begun then can still be answered in it. */
const [noticedMs, answeredMs] = [500, 2_500]

function starved({ faults, committed, publications }: History): string[] {
  const healthy = new Set(committed.flatMap(({ id, key }) => (key !== null && hungKeys.includes(key) ? [] : [id])))
  const hangs = faults.filter(({ kind }) => kind === 'hung-destination')
  return hangs.flatMap((hang) => {
    const [fromMs, toMs] = [hang.startedAtMs + noticedMs, hang.endedAtMs - answeredMs]
    const within = (atMs: number): boolean => atMs >= fromMs && atMs <= toMs
    const isAlone = faults.every(
      (one) => one === hang || one.endedAtMs < hang.startedAtMs - 5_000 || one.startedAtMs > toMs,
    )
    const isBusy = committed.filter(({ id, atMs }) => healthy.has(id) && within(atMs)).length > 10
    const flows = publications.some(
      ({ id, answer, startedAtMs }) => answer === 'accepted' && healthy.has(id) && within(startedAtMs),
    )
    return isAlone && isBusy && !flows ? [`nothing was published from ${String(fromMs)} to ${String(toMs)}`] : []
  })
}
