/** Statements of the two alternatives to an inbox row: versions of entities and positions of partitions. */
export interface ConsumerStatements {
  readonly addConsumer: string
  readonly advanceToLatestVersion: string
  readonly advanceToNextVersion: string
  readonly readVersion: string
  readonly assignPartition: string
  readonly advanceOffset: string
  readonly readPosition: string
}

/** @param s - the quoted schema */
export function consumerStatements(s: string): ConsumerStatements {
  const consumer = `(select id from ${s}.inbox_consumers where name = $1)`
  return {
    // Writes only once in a consumer's life; a look at an index otherwise.
    addConsumer: `
      insert into ${s}.inbox_consumers (name) select $1::text
      where not exists (select from ${s}.inbox_consumers where name = $1) on conflict do nothing`,

    // The row lock makes two transactions of one entity wait for each other; the condition is judged after the wait.
    advanceToLatestVersion: `
      insert into ${s}.entity_versions as known (consumer_id, entity, version) values (${consumer}, $2, $3)
      on conflict (consumer_id, entity) do update set version = excluded.version, updated_at = now()
        where known.version < excluded.version
      returning 1`,

    // An entity without a row stands at version 0.
    advanceToNextVersion: `
      insert into ${s}.entity_versions as known (consumer_id, entity, version)
      select ${consumer}, $2, $3::bigint
      where $3::bigint = 1 or exists (select from ${s}.entity_versions where consumer_id = ${consumer} and entity = $2)
      on conflict (consumer_id, entity) do update set version = excluded.version, updated_at = now()
        where known.version = excluded.version - 1
      returning 1`,

    readVersion: `select version from ${s}.entity_versions where consumer_id = ${consumer} and entity = $2`,

    assignPartition: `
      insert into ${s}.consumer_offsets as held (consumer_group, topic, partition, next_offset, generation)
      values ($1, $2, $3, 0, $4)
      on conflict (consumer_group, topic, partition) do update set generation = excluded.generation, updated_at = now()
        where held.generation <= excluded.generation
      returning next_offset`,

    advanceOffset: `
      update ${s}.consumer_offsets set next_offset = $5::bigint + 1, updated_at = now()
      where consumer_group = $1 and topic = $2 and partition = $3 and generation = $4 and next_offset <= $5::bigint
      returning 1`,

    readPosition: `
      select generation, next_offset from ${s}.consumer_offsets where consumer_group = $1 and topic = $2 and partition = $3`,
  }
}
