import { preparing } from '../harness-error.ts'
import type { Fault } from '../history/history.ts'
import type { Cluster, Slot } from './cluster.ts'
import { nowMs } from './journal.ts'
import type { FaultKind, PlannedFault } from './plan.ts'
import type { RoleName } from './processes.ts'

export type Harm = (fault: PlannedFault) => Promise<void>

/** What a fault that did nothing says of itself; nothing when it did what it is for. */
export type Hollow = string | void

const allLanes = Array.from({ length: 64 }, (_, lane) => lane)

/** Does harm and writes it down. */
export class FaultLog {
  readonly cluster: Cluster
  readonly injected: Fault[] = []
  /** Faults that did nothing, each with what was seen instead. */
  readonly hollow: string[] = []
  /** One restart of a server at a time, or a start would meet a stop. */
  readonly #queues = new Map<string, Promise<void>>()

  constructor(cluster: Cluster) {
    this.cluster = cluster
  }

  /** Harms a living process of the role, if there is one at this moment. Its lanes stand still because of it. */
  async onProcess(role: RoleName, fault: PlannedFault, harm: (slot: Slot) => Promise<Hollow> | Hollow): Promise<void> {
    const alive = this.cluster.of(role).filter((slot) => slot.process?.isAlive === true)
    const slot = alive[fault.target % Math.max(1, alive.length)]
    const name = slot?.process?.name
    if (slot === undefined || name === undefined) return
    const lanes = role === 'relay' ? await this.#lanesOf(name) : []
    await this.#note(fault.kind, name, lanes, () => harm(slot))
  }

  /** Harms a server, and with it every lane, after whatever else is done to that server. */
  onServer(server: 'postgres' | 'broker', { kind }: PlannedFault, harm: () => Promise<Hollow>): Promise<void> {
    const before = this.#queues.get(server) ?? Promise.resolve()
    const turn = before.then(() => this.#note(kind, null, allLanes, () => preparing(kind, harm)))
    this.#queues.set(server, turn)
    return turn
  }

  /** Does what makes no lane stand still. */
  onNobody({ kind }: PlannedFault, work: () => Promise<Hollow>): Promise<void> {
    return this.#note(kind, null, [], work)
  }

  async #note(
    kind: FaultKind,
    relay: string | null,
    lanes: readonly number[],
    harm: () => Promise<Hollow> | Hollow,
  ): Promise<void> {
    const startedAtMs = nowMs()
    const hollow = await harm()
    const endedAtMs = nowMs()
    const healsFromMs = relay === null ? endedAtMs : startedAtMs
    this.injected.push({ kind, relay, lanes, startedAtMs, endedAtMs, healsFromMs })
    if (typeof hollow === 'string') this.hollow.push(`${kind} from ${String(Math.round(startedAtMs))}: ${hollow}`)
  }

  async #lanesOf(relay: string): Promise<readonly number[]> {
    const owned = `select lane from malote.lanes join malote.relays on relays.id = lanes.owner where relays.name = $1`
    return this.cluster.pool.query<{ lane: number }>(owned, [relay]).then(
      ({ rows }) => rows.map(({ lane }) => lane),
      () => [], // The database is down: nobody can say.
    )
  }
}
