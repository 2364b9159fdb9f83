import { createHash } from 'node:crypto'
import { numberOption } from './options.ts'

/**
 * Which of so many shards a key belongs to, from 0: the same in every process and version, so that the messages of a key stay together. Give
 * its result to `queueUrl`, `route` or `topics` of a publisher. Without a key, any shard.
 *
 * Changing the number of shards moves keys: let the old shards run empty first, or a key's messages overtake each other.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function shardOf(orderingKey: string | null, shards: number): number {
  const count = numberOption('shards', shards, shards, { min: 1, max: 10_000 })
  if (orderingKey === null) return Math.floor(Math.random() * count)
  return createHash('sha256').update(orderingKey).digest().readUInt32BE(0) % count
}
