import type { Connection } from './connections.ts'
import { quoteIdentifier } from './identifiers.ts'
import { operatorStatements } from './operator-statements.ts'

/** What one relay of all does now and then. */
export interface MaintenanceQueries {
  /** @returns the names of the tasks that are due and are ours now, for `forMs` unless they are done before */
  claimTasks(names: readonly string[], forMs: number): Promise<readonly string[]>
  taskDone(name: string, dueInMs: number): Promise<void>
  /** Fails where the relay may not archive. */
  mayArchive(): Promise<void>
  prepareArchive(daysAhead: number): Promise<void>
  /** @returns the partition it dropped, and how many rows it deleted of the one for days without */
  purgeArchive(
    olderThanDays: number,
    limit: number,
  ): Promise<{ readonly dropped: string | null; readonly deleted: number }>
  /** @returns how many it deleted */
  purgeDeadLetters(purge: DeadLetterPurge): Promise<number>
}

/** Dead letters that are too old to be wanted, and what is noted of it for operators. */
export interface DeadLetterPurge {
  readonly olderThanDays: number
  readonly operator: string
  readonly reason: string
  readonly limit: number
}

export function createMaintenanceQueries(connection: Connection, schema: string): MaintenanceQueries {
  const texts = maintenanceTexts(schema)
  return {
    claimTasks: async (names, forMs) => {
      const { rows } = await connection.queryReadCommitted<{ task: string }>(texts.claimTasks, [names, forMs])
      return rows.map(({ task }) => task)
    },
    taskDone: async (name, dueInMs) => void (await connection.queryReadCommitted(texts.taskDone, [name, dueInMs])),
    mayArchive: async () => void (await connection.query(texts.mayArchive)),
    prepareArchive: async (daysAhead) => void (await connection.query(texts.prepareArchive, [daysAhead])),
    purgeArchive: async (olderThanDays, limit) => {
      const { rows } = await connection.query<PurgedRow>(texts.purgeArchive, [olderThanDays, limit])
      const [{ dropped, deleted } = { dropped: null, deleted: 0 }] = rows
      return { dropped, deleted: Number(deleted) }
    },
    purgeDeadLetters: async ({ olderThanDays, operator, reason, limit }) => {
      const values = [olderThanDays, schema, operator, reason, limit]
      const { rows } = await connection.queryReadCommitted<{ done: number }>(operatorStatements(schema).purge, values)
      return rows[0]?.done ?? 0
    },
  }
}

interface PurgedRow {
  readonly dropped: string | null
  readonly deleted: number | string
}

/** The statements' texts, for those that run them on another connection. */
export function maintenanceTexts(
  schema: string,
): Readonly<Record<Exclude<keyof MaintenanceQueries, 'purgeDeadLetters'>, string>> {
  const s = quoteIdentifier(schema)
  return {
    // $1 names in a fixed order, $2 ms until somebody else may begin them when nobody says they are done. The row lock and the
    // recheck under it make two relays exclude each other.
    claimTasks: `
      insert into ${s}.maintenance as known (task, due_at)
      select task, clock_timestamp() + $2::float8 * interval '1 millisecond' from unnest($1::text[]) as task
      on conflict (task) do update set due_at = excluded.due_at where known.due_at <= clock_timestamp()
      returning task`,

    // $1 name, $2 ms until it is due again.
    taskDone: `
      update ${s}.maintenance
      set done_at = clock_timestamp(), due_at = clock_timestamp() + $2::float8 * interval '1 millisecond'
      where task = $1`,

    // Inserts nothing, and fails where the relay's own insert would.
    mayArchive: `
      insert into ${s}.archived_messages (published_at, seq, id, topic, type, content_type, created_at, attempts)
      select now(), 0, gen_random_uuid(), '', '', '', now(), 0 where false`,

    // $1 days ahead.
    prepareArchive: `select ${s}.prepare_archive_v1($1::integer) as made`,

    // $1 age in days, $2 the most rows.
    purgeArchive: `select dropped, deleted from ${s}.purge_archive_v1($1::integer, $2::integer)`,
  }
}
