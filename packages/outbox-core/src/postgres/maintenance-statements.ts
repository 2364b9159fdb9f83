import { quoteIdentifier } from './identifiers.ts'

/** What one relay of all does now and then. */
export interface MaintenanceStatements {
  readonly claimTasks: string
  readonly taskDone: string
  readonly mayArchive: string
  readonly prepareArchive: string
  readonly purgeArchive: string
}

export function maintenanceStatements(schema: string): MaintenanceStatements {
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
