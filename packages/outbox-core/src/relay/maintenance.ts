import type { Clock } from '../clock.ts'
import type { RelayEvent } from '../events.ts'
import type { MaintenanceQueries } from '../postgres/maintenance.ts'
import { sqlStateOf } from '../postgres/queryable.ts'
import { archiveDaysAhead } from './check-schema.ts'
import type { MaintenanceTask, ResolvedMaintenance } from './maintenance-options.ts'

export interface MaintenanceParts {
  readonly queries: MaintenanceQueries
  readonly name: string
  readonly clock: Clock
  readonly maintenance: ResolvedMaintenance
  /** Undefined: nothing is archived. */
  readonly isArchived: unknown
  readonly report: (event: RelayEvent) => void
}

/** One short statement. */
interface Step {
  readonly rows: number
  readonly isLast: boolean
}

/** Between two looks for tasks that are due, in milliseconds, unless they are due more often. */
const lookIntervalMs = 60_000

/** Somebody who died in the middle is waited for this long, in milliseconds. */
const claimMs = 600_000

/** Rows deleted in one statement: it runs between two heartbeats. */
const rowsOfStep = 100

/**
 * What relays do now and then so that nothing grows for ever. A task belongs to whoever notes first that it is due. Our own tasks
 * run in steps of one short statement, on the connection and in the rhythm of the control loop; tasks of the application run
 * beside it.
 *
 * A schema of an earlier version, or a role of an earlier version's grants, has no place for the notes: the relay says so once
 * and works without.
 */
export class Maintenance {
  readonly #parts: MaintenanceParts
  readonly #own: ReadonlyMap<string, () => Promise<Step>>
  readonly #names: readonly string[]
  readonly #over = new AbortController()
  /** Claimed and not begun, the first perhaps half done. */
  #inHand: { readonly task: string; rows: number }[] = []
  /** Tasks of the application that came to an end and are to be noted. */
  #ended: string[] = []
  #nextLookMs = 0

  constructor(parts: MaintenanceParts) {
    this.#parts = parts
    const { maintenance, isArchived } = parts
    const own = new Map<string, () => Promise<Step>>()
    if (isArchived !== undefined) own.set('archive', () => this.#purgeArchive())
    const { deadLetterDays } = maintenance
    if (deadLetterDays !== null) own.set('dead letters', () => this.#purgeDeadLetters(deadLetterDays))
    this.#own = own
    this.#names = [...own.keys(), ...maintenance.tasks.map(({ name }) => name)].sort()
  }

  /** Something is claimed and not done. */
  get hasMore(): boolean {
    return this.#inHand.length > 0
  }

  /** Does the next step, if one is due. */
  async step(): Promise<void> {
    for (const task of this.#ended.splice(0)) await this.#noteDone(task)
    const { clock, maintenance } = this.#parts
    if (this.#inHand.length === 0) {
      if (this.#names.length === 0 || clock.monotonicMs() < this.#nextLookMs) return
      this.#nextLookMs = clock.monotonicMs() + Math.min(lookIntervalMs, maintenance.intervalMs)
      await this.#claim()
    }
    await this.#work()
  }

  /** Tells tasks of the application to end. */
  stop(): void {
    this.#over.abort()
  }

  async #claim(): Promise<void> {
    await this.#trying('maintenance', async () => {
      const claimed = await this.#parts.queries.claimTasks(this.#names, claimMs)
      this.#inHand = claimed.map((task) => ({ task, rows: 0 }))
    })
  }

  async #work(): Promise<void> {
    const [current] = this.#inHand
    if (current === undefined) return
    const ownStep = this.#own.get(current.task)
    if (ownStep === undefined) {
      this.#inHand.shift()
      return this.#begin(this.#parts.maintenance.tasks.find(({ name }) => name === current.task) as MaintenanceTask)
    }
    const isDone = await this.#trying(current.task, async () => {
      const { rows, isLast } = await ownStep()
      current.rows += rows
      if (isLast) await this.#noteDone(current.task)
      return isLast
    })
    if (isDone === false) return
    this.#inHand.shift()
    if (isDone === true) this.#parts.report({ type: 'maintenance.done', task: current.task, rows: current.rows })
  }

  /** In the background: it may take minutes. */
  #begin(task: MaintenanceTask): void {
    const { report } = this.#parts
    const { name } = task
    void (async () => task.run(this.#over.signal))().then(
      () => {
        this.#ended.push(name)
        report({ type: 'maintenance.done', task: name, rows: 0 })
      },
      (error: unknown) => {
        this.#ended.push(name)
        report({ type: 'maintenance.failed', task: name, error })
      },
    )
  }

  #noteDone(task: string): Promise<void> {
    return this.#parts.queries.taskDone(task, this.#parts.maintenance.intervalMs)
  }

  /** What the server refuses is told and left to the next run; a lost connection ends the session as anywhere. */
  async #trying<Result>(task: string, work: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await work()
    } catch (error) {
      const state = sqlStateOf(error)
      if (state === undefined || state.startsWith('08') || state.startsWith('57P')) throw error
      this.#parts.report({ type: 'maintenance.failed', task, error })
      return undefined
    }
  }

  async #purgeArchive(): Promise<Step> {
    await this.#parts.queries.prepareArchive(archiveDaysAhead)
    const { dropped, deleted } = await this.#parts.queries.purgeArchive(this.#parts.maintenance.archiveDays, rowsOfStep)
    return { rows: deleted, isLast: dropped === null && deleted < rowsOfStep }
  }

  async #purgeDeadLetters(days: number): Promise<Step> {
    const { queries, name } = this.#parts
    const reason = `older than ${String(days)} days`
    const note = { olderThanDays: days, operator: `relay ${name}`, reason, limit: rowsOfStep }
    const deleted = await queries.purgeDeadLetters(note)
    return { rows: deleted, isLast: deleted < rowsOfStep }
  }
}
