import { OutboxError } from '../errors.ts'
import { numberOption } from '../options.ts'

/** What relays do besides publishing, so that nothing grows for ever. One relay at a time does a task. */
export interface MaintenanceOptions {
  /** Between two runs of a task, by whichever relay, in milliseconds. @defaultValue 3_600_000: an hour */
  readonly intervalMs?: number
  /**
   * How long published messages of an archive are kept, in whole days of UTC; then their day is dropped at once. Looked after
   * only where `afterPublish` archives.
   *
   * @defaultValue 30
   */
  readonly archiveDays?: number
  /**
   * Dead letters that died more than this many days ago are deleted, a hundred at a time, and the keys held for them go on.
   * Each batch is noted for `malote audit`.
   *
   * @defaultValue none: a dead letter waits until a person has decided
   */
  readonly deadLetterDays?: number
  /** What else is due as often, for example the retention of an inbox and of idempotency keys. @defaultValue none */
  readonly tasks?: readonly MaintenanceTask[]
}

/** Work that one relay of all does at a time, on connections of its own. */
export interface MaintenanceTask {
  /** Tells tasks apart, the same in every relay: two of one name are one task. */
  readonly name: string
  /**
   * Must come to an end within minutes and may be run again at once, for a relay may die in the middle. A failure is reported
   * (`maintenance.failed`) and tried again at the next interval. The relay does not wait for it when it stops.
   *
   * @param signal - aborts when the relay stops or loses its database
   */
  run(signal: AbortSignal): Promise<unknown>
}

export interface ResolvedMaintenance {
  readonly intervalMs: number
  readonly archiveDays: number
  readonly deadLetterDays: number | null
  readonly tasks: readonly MaintenanceTask[]
}

/** The names of our own tasks. */
const ownTasks = ['archive', 'dead letters'] as const

/** @throws OutboxError `INVALID_OPTION` */
export function resolveMaintenance(options: MaintenanceOptions = {}): ResolvedMaintenance {
  const days = { min: 1, max: 36_500 }
  const { tasks = [], deadLetterDays } = options
  const names = tasks.map(({ name }) => name)
  const taken = names.find((name, at) => names.indexOf(name) !== at || (ownTasks as readonly string[]).includes(name))
  if (taken !== undefined)
    throw new OutboxError('INVALID_OPTION', `two maintenance tasks have the name "${taken}": give each its own`)
  return {
    intervalMs: numberOption('maintenance.intervalMs', options.intervalMs, 3_600_000, { min: 10 }),
    archiveDays: numberOption('maintenance.archiveDays', options.archiveDays, 30, days),
    deadLetterDays:
      deadLetterDays === undefined ? null : numberOption('maintenance.deadLetterDays', deadLetterDays, 0, days),
    tasks,
  }
}
