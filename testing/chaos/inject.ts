import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault } from '../history/history.ts'
import type { Cluster, Slot } from './cluster.ts'
import { nowMs } from './journal.ts'
import type { FaultKind, PlannedFault } from './plan.ts'
import type { RoleName } from './processes.ts'

/** Does things to a cluster and remembers exactly what and when. */
export interface Injector {
  readonly injected: readonly Fault[]
  inject(fault: PlannedFault): Promise<void>
}

const allLanes = Array.from({ length: 64 }, (_, lane) => lane)

export function createInjector(cluster: Cluster): Injector {
  const injected: Fault[] = []
  // One restart of a server at a time, or a start would meet a stop.
  const queues = new Map<string, Promise<void>>()

  /** A living process of the role, or undefined when none lives at this moment. */
  function living(role: RoleName, target: number): Slot | undefined {
    const alive = cluster.of(role).filter((slot) => slot.process?.isAlive === true)
    return alive[target % Math.max(1, alive.length)]
  }

  async function lanesOf(relay: string): Promise<readonly number[]> {
    const owned = `select lane from malote.lanes join malote.relays on relays.id = lanes.owner where relays.name = $1`
    return cluster.pool.query<{ lane: number }>(owned, [relay]).then(
      ({ rows }) => rows.map(({ lane }) => lane),
      () => [], // The database is down: nobody can say.
    )
  }

  /** Runs `harm` and notes it; `lanes` stand still because of it. */
  async function note(
    kind: FaultKind,
    relay: string | null,
    lanes: readonly number[],
    harm: () => Promise<void> | void,
  ): Promise<void> {
    const startedAtMs = nowMs()
    await harm()
    const endedAtMs = nowMs()
    injected.push({ kind, relay, lanes, startedAtMs, endedAtMs, healsFromMs: relay === null ? endedAtMs : startedAtMs })
  }

  function oneAtATime(server: string, work: () => Promise<void>): Promise<void> {
    const turn = (queues.get(server) ?? Promise.resolve()).then(work)
    queues.set(server, turn)
    return turn
  }

  async function onProcess(
    kind: FaultKind,
    role: RoleName,
    fault: PlannedFault,
    harm: (slot: Slot) => Promise<void> | void,
  ): Promise<void> {
    const slot = living(role, fault.target)
    const name = slot?.process?.name
    if (slot === undefined || name === undefined) return
    const lanes = role === 'relay' ? await lanesOf(name) : []
    await note(kind, name, lanes, () => harm(slot))
  }

  const killAtPoint = (role: RoleName) => (fault: PlannedFault) =>
    onProcess(fault.kind, role, { ...fault }, async (slot) => {
      const { process } = slot
      if (process === null || fault.point === null) return
      process.send({ type: 'die-at', point: fault.point })
      // A point that is not passed within a while (an idle relay acquires no lane) is left armed; the kill makes it certain.
      await Promise.race([process.exited, sleep(3_000)])
      if (process.isAlive) process.signal('SIGKILL')
      await process.exited
    })

  const kill = (role: RoleName) => (fault: PlannedFault) =>
    onProcess(fault.kind, role, fault, async ({ process }) => {
      process?.signal('SIGKILL')
      await process?.exited
    })

  const throughProxy = (way: 'database' | 'broker', harm: 'cut' | 'half-open' | 'slow') => (fault: PlannedFault) =>
    onProcess(fault.kind, 'relay', fault, async (slot) => {
      const proxy = slot[way]
      if (proxy === null || harm === 'cut') return proxy?.cut()
      proxy.set(harm)
      await sleep(fault.forMs * 2)
      proxy.set('open')
    })

  const restartPostgres = (mode: 'fast' | 'immediate') => (fault: PlannedFault) =>
    oneAtATime('postgres', () =>
      note(fault.kind, null, allLanes, async () => {
        await cluster.postgres.stop(mode === 'fast' ? 'fast' : 'immediate')
        await sleep(fault.forMs / 2)
        await cluster.postgres.start()
      }),
    )

  const inject: Record<FaultKind, (fault: PlannedFault) => Promise<void>> = {
    'kill-relay': kill('relay'),
    'kill-relay-at-failpoint': killAtPoint('relay'),
    'kill-writer-at-failpoint': killAtPoint('writer'),
    'kill-consumer': kill('consumer'),
    'kill-consumer-at-failpoint': killAtPoint('consumer'),
    'pause-relay': (fault) =>
      onProcess(fault.kind, 'relay', fault, async ({ process }) => {
        process?.signal('SIGSTOP')
        await sleep(fault.forMs)
        process?.signal('SIGCONT')
      }),
    'move-relay-clock': (fault) =>
      onProcess(fault.kind, 'relay', fault, async ({ process }) => {
        process?.send({ type: 'set-clock', offsetMs: fault.jumpMs })
        await sleep(fault.forMs)
        process?.send({ type: 'set-clock', offsetMs: 0 })
      }),
    'relay-leaves': (fault) =>
      onProcess(fault.kind, 'relay', fault, async ({ process }) => {
        await process?.stop()
      }),
    'relay-joins': (fault) =>
      note(fault.kind, null, [], async () => {
        const slot = await cluster.addRelay()
        await sleep(fault.forMs * 3)
        slot.isWanted = false
        await slot.process?.stop()
      }),
    'terminate-backends': (fault) =>
      onProcess(fault.kind, 'relay', fault, async ({ process }) => {
        const terminate = 'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1'
        await cluster.pool.query(terminate, [process?.name]).catch(() => {}) // The server may be down itself.
      }),
    'cut-database-connections': throughProxy('database', 'cut'),
    'half-open-database-connections': throughProxy('database', 'half-open'),
    'slow-database-connections': throughProxy('database', 'slow'),
    'cut-broker-connections': throughProxy('broker', 'cut'),
    'half-open-broker-connections': throughProxy('broker', 'half-open'),
    'slow-broker-connections': throughProxy('broker', 'slow'),
    'disk-full': (fault) =>
      oneAtATime('postgres', () =>
        note(fault.kind, null, allLanes, async () => {
          await cluster.pool.query('update chaos.disk set is_full = true').catch(() => {}) // Down: nothing to fill.
          await sleep(fault.forMs)
          await cluster.pool.query('update chaos.disk set is_full = false')
        }),
      ),
    'restart-postgres-fast': restartPostgres('fast'),
    'restart-postgres-immediate': restartPostgres('immediate'),
    'restart-broker': (fault) =>
      oneAtATime('broker', () => note(fault.kind, null, allLanes, () => cluster.broker.restart(fault.forMs))),
  }
  return { injected, inject: (fault) => inject[fault.kind](fault) }
}
