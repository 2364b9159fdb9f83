import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { preparing } from '../harness-error.ts'
import type { Fault } from '../history/history.ts'
import type { Trouble } from './brokers/broker.ts'
import type { Cluster } from './cluster.ts'
import { FaultLog, type Harm } from './fault-log.ts'
import { hostFaults } from './host-faults.ts'
import { createOutbox } from './library.ts'
import { emptiedFence } from '../history/ownership.ts'
import { cureForGood, operatorFaults } from './operator-faults.ts'
import type { FaultKind, PlannedFault } from './plan.ts'
import type { RoleName } from './processes.ts'
import { shortageFaults } from './shortage-faults.ts'

/** Does things to a cluster and remembers exactly what and when. */
export interface Injector {
  readonly injected: readonly Fault[]
  /** Faults that did nothing, each with what was seen instead. */
  readonly hollow: readonly string[]
  inject(fault: PlannedFault): Promise<void>
  /** Until the signal says that it is enough: nothing is ill any more, and what died of it is replayed. */
  cureForGood(signal: AbortSignal): Promise<void>
}

/** @param keys - that operators may hold by hand */
export function createInjector(cluster: Cluster, keys: readonly string[]): Injector {
  const log = new FaultLog(cluster)
  const faults: Record<FaultKind, Harm> = {
    ...processFaults(log),
    ...connectionFaults(log),
    ...serverFaults(log),
    ...foreignFaults(log),
    ...consumerFaults(log),
    ...operatorFaults(log, keys),
    ...shortageFaults(log),
    ...hostFaults(log),
  }
  return {
    injected: log.injected,
    hollow: log.hollow,
    inject: (fault) => faults[fault.kind](fault),
    cureForGood: (signal) => cureForGood(log, signal),
  }
}

type ProcessFault =
  | `kill-${'relay' | 'consumer'}`
  | `kill-${RoleName}-at-failpoint`
  | 'pause-relay'
  | 'move-relay-clock'
  | 'relay-leaves'
  | 'relay-joins'

function processFaults(log: FaultLog): Record<ProcessFault, Harm> {
  const kill = (role: RoleName) => (fault: PlannedFault) =>
    log.onProcess(role, fault, async ({ process }) => {
      process?.signal('SIGKILL')
      await process?.exited
    })
  const killAtPoint = (role: RoleName) => (fault: PlannedFault) =>
    log.onProcess(role, fault, async ({ process }) => {
      if (process === null || fault.point === null) return
      process.send({ type: 'die-at', point: fault.point })
      // A point that is not passed within a while (an idle relay acquires no lane) is left armed; the kill makes it certain.
      await Promise.race([process.exited, sleep(3_000)])
      if (process.isAlive) process.signal('SIGKILL')
      await process.exited
    })
  const forAWhile = async (fault: PlannedFault, start: () => void, end: () => void): Promise<void> => {
    start()
    await sleep(fault.forMs)
    end()
  }
  return {
    'kill-relay': kill('relay'),
    'kill-relay-at-failpoint': killAtPoint('relay'),
    'kill-writer-at-failpoint': killAtPoint('writer'),
    'kill-consumer': kill('consumer'),
    'kill-consumer-at-failpoint': killAtPoint('consumer'),
    'pause-relay': (fault) =>
      log.onProcess('relay', fault, ({ process }) =>
        forAWhile(
          fault,
          () => process?.signal('SIGSTOP'),
          () => process?.signal('SIGCONT'),
        ),
      ),
    'move-relay-clock': (fault) =>
      log.onProcess('relay', fault, ({ process }) =>
        forAWhile(
          fault,
          () => process?.send({ type: 'set-clock', offsetMs: fault.jumpMs }),
          () => process?.send({ type: 'set-clock', offsetMs: 0 }),
        ),
      ),
    'relay-leaves': (fault) => log.onProcess('relay', fault, async ({ process }) => void (await process?.stop())),
    'relay-joins': (fault) =>
      log.onNobody(fault, async () => {
        const slot = await log.cluster.addRelay()
        await sleep(fault.forMs * 3)
        slot.isWanted = false
        await slot.process?.stop()
      }),
  }
}

type ConnectionFault =
  | `${'cut' | 'half-open' | 'slow'}-${'database' | 'broker'}-connections`
  | 'black-hole'
  | 'terminate-backends'

/** By then a relay that was cut off has tried to connect again. */
const reconnectedMs = 2_000

function connectionFaults(log: FaultLog): Record<ConnectionFault, Harm> {
  const cut = (way: 'database' | 'broker') => (fault: PlannedFault) =>
    log.onProcess('relay', fault, (slot) => slot[way]?.cut())
  const hinder = (way: 'database' | 'broker', passage: 'half-open' | 'slow') => (fault: PlannedFault) =>
    log.onProcess('relay', fault, async (slot) => {
      slot[way]?.set(passage)
      if (slot[way] !== null) await sleep(fault.forMs * 2)
      slot[way]?.set('open')
    })
  return {
    'terminate-backends': (fault) =>
      log.onProcess('relay', fault, async ({ process }) => {
        const terminate = 'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1'
        await log.cluster.pool.query(terminate, [process?.name]).catch(() => {}) // The server may be down itself.
      }),
    'black-hole': (fault) =>
      log.onProcess('relay', fault, async ({ database }) => {
        database.set('black-hole')
        if (fault.target % 2 === 0) database.cut() // It notices, and reconnects into the hole.
        await sleep(reconnectedMs + fault.forMs)
        database.set('open')
      }),
    'cut-database-connections': cut('database'),
    'half-open-database-connections': hinder('database', 'half-open'),
    'slow-database-connections': hinder('database', 'slow'),
    'cut-broker-connections': cut('broker'),
    'half-open-broker-connections': hinder('broker', 'half-open'),
    'slow-broker-connections': hinder('broker', 'slow'),
  }
}

type ServerFault =
  | 'disk-full'
  | `restart-postgres-${'fast' | 'immediate'}`
  | 'restart-broker'
  | `destination-${Trouble}`

function serverFaults(log: FaultLog): Record<ServerFault, Harm> {
  const { postgres, broker, pool } = log.cluster
  const restartPostgres = (mode: 'fast' | 'immediate') => (fault: PlannedFault) =>
    log.onServer('postgres', fault, async () => {
      await postgres.stop(mode)
      await sleep(fault.forMs / 2)
      await postgres.start()
    })
  const trouble = (how: Trouble) => (fault: PlannedFault) =>
    log.onServer('broker', fault, () => broker.trouble(how, fault.forMs))
  return {
    'disk-full': (fault) =>
      log.onServer('postgres', fault, async () => {
        await pool.query('update chaos.disk set is_full = true').catch(() => {}) // Down: nothing to fill.
        await sleep(fault.forMs)
        await pool.query('update chaos.disk set is_full = false')
      }),
    'restart-postgres-fast': restartPostgres('fast'),
    'restart-postgres-immediate': restartPostgres('immediate'),
    'destination-away': trouble('away'),
    'destination-throttled': trouble('throttled'),
    'restart-broker': (fault) => log.onServer('broker', fault, () => broker.restart(fault.forMs)),
  }
}

type ConsumerFault = 'handler-database-away' | 'dead-letters-away'

/** What consumers need is away. An outage that falls into another of its kind is left out. */
function consumerFaults(log: FaultLog): Record<ConsumerFault, Harm> {
  const { cluster } = log
  const away = new Set<ConsumerFault>()
  const once = (kind: ConsumerFault, harm: (fault: PlannedFault) => Promise<void>) => async (fault: PlannedFault) => {
    if (away.has(kind)) return
    away.add(kind)
    await log.onNobody(fault, () => harm(fault))
    away.delete(kind)
  }
  return {
    'handler-database-away': once('handler-database-away', async ({ forMs }) => {
      const ways = cluster.of('consumer').map(({ database }) => database)
      for (const way of ways) way.set('refused')
      await sleep(forMs)
      for (const way of ways) way.set('open')
    }),
    'dead-letters-away': once('dead-letters-away', ({ forMs }) =>
      preparing('refuse dead letters', () => cluster.broker.refuseDeadLetters(forMs)),
    ),
  }
}

type ForeignFault = 'hung-destination' | 'large-bodies' | 'truncate'

/** What others do to the relays without harming a process or a connection. */
function foreignFaults(log: FaultLog): Record<ForeignFault, Harm> {
  const { cluster } = log
  const hang = (isHung: boolean): void => {
    for (const { process } of cluster.of('relay')) process?.send({ type: 'hang', isHung })
  }
  return {
    'hung-destination': (fault) =>
      log.onNobody(fault, async () => {
        hang(true)
        await sleep(hungForMs + fault.forMs)
        hang(false)
      }),
    'large-bodies': (fault) => log.onNobody(fault, () => addLarge(cluster).catch(() => {})), // Down: nothing is added.
    // The relays' own tables: of the messages the ledger would ask for every one.
    truncate: (fault) =>
      log.onServer('postgres', fault, async () => {
        await cluster.pool.query(truncated).catch(() => {}) // Down, or locked for longer than it may wait: nothing is emptied.
        await sleep(cluster.leaseMs) // So long may a relay go on that has not heard of it.
      }),
  }
}

/** Beside what the plan draws, so that a publish timeout and what follows from it lie within. */
const hungForMs = 5_000

const truncated = `
  begin;
  set local lock_timeout = '2s';
  truncate malote.relays, malote.lanes, malote.doorbell;
  insert into chaos.ownership (lane, was, now, fence) select n, null, null, ${String(emptiedFence)} from generate_series(0, 63) as n;
  commit;`

/** Far smaller in the table than in memory; together several times what a relay may hold. */
const large = { count: 40, body: 'x'.repeat(150_000) }

async function addLarge({ pool }: Cluster): Promise<void> {
  const client = await pool.connect()
  let isBroken = true
  try {
    await client.query('begin')
    const messages = Array.from({ length: large.count }, () => ({
      id: randomUUID(),
      topic: 'chaos',
      type: 'chaos.happened',
      payload: large.body,
    }))
    const ids = messages.map(({ id }) => id)
    await client.query('insert into chaos.ledger (id, place, doomed) select unnest($1::uuid[]), 0, false', [ids])
    await createOutbox().addAll(client, messages)
    await client.query('commit')
    isBroken = false
  } finally {
    client.release(isBroken)
  }
}
