import {
  type OutboxTransaction,
  quoteIdentifier,
  schemaOption,
  transactionQueryable,
} from '@malote/outbox-core/postgres'
import { consumerStatements } from './consumer-statements.ts'
import { IdempotencyError } from '../errors.ts'

/** A partition as one generation of a consumer group holds it. */
export interface AssignedPartition {
  readonly group: string
  readonly topic: string
  readonly partition: number
  /**
   * Rises with every assignment: the group's generation where the client tells it. kafkajs does not; then draw the number
   * from a sequence in the database when the partition is assigned.
   */
  readonly generation: number
}

/**
 * Keeps Kafka offsets in the transaction of the effect: one row for each partition instead of one for each message. For
 * one handler per group, in the order of the partition, without parking messages.
 */
export interface KafkaPositions {
  /**
   * Call on every assignment, before the first message. From here on writes of earlier generations are refused.
   *
   * @returns the offset to seek to, or null when nothing was ever processed
   * @throws IdempotencyError `STALE_GENERATION` when a later generation has been here
   */
  assign(tx: OutboxTransaction, assigned: AssignedPartition): Promise<bigint | null>

  /**
   * Runs `fn` unless the offset was processed before, and moves the position behind it, in the caller's transaction.
   * Gaps between offsets are normal: compaction and transaction markers leave them.
   *
   * @throws IdempotencyError `STALE_GENERATION` when the partition was given to somebody else: roll back and stop
   */
  once(
    tx: OutboxTransaction,
    message: AssignedPartition & { readonly offset: bigint | string },
    fn: () => Promise<void>,
  ): Promise<'processed' | 'duplicate'>
}

/** @throws IdempotencyError `INVALID_OPTION` */
export function createKafkaPositions(options: { readonly schema?: string } = {}): KafkaPositions {
  const s = quoteIdentifier(schemaOption(options.schema))
  const statements = consumerStatements(s)

  return {
    assign: async (tx, { group, topic, partition, generation }) => {
      const db = await transactionQueryable(tx, `${s}.consumer_offsets`)
      const { rows } = await db.query(statements.assignPartition, [group, topic, partition, generation])
      if (rows[0] === undefined) throw staleGeneration({ group, topic, partition, generation })
      const next = BigInt(rows[0]['next_offset'] as string)
      return next === 0n ? null : next
    },
    once: async (tx, { group, topic, partition, generation, offset }, fn) => {
      const db = await transactionQueryable(tx, `${s}.consumer_offsets`)
      const values = [group, topic, partition, generation]
      const { rows } = await db.query(statements.advanceOffset, [...values, String(offset)])
      if (rows[0] === undefined) {
        const { rows: held } = await db.query(statements.readPosition, [group, topic, partition])
        assertHeld(held[0], { group, topic, partition, generation })
        return 'duplicate'
      }
      await fn()
      return 'processed'
    },
  }
}

/** Only the generation that holds the partition may call an offset a duplicate: anyone else would lose the message. */
function assertHeld(position: Record<string, unknown> | undefined, assigned: AssignedPartition): void {
  const held = position === undefined ? -1 : Number(position['generation'])
  if (held > assigned.generation) throw staleGeneration(assigned)
  if (held < assigned.generation)
    throw new IdempotencyError(
      'STALE_GENERATION',
      `partition ${String(assigned.partition)} of topic "${assigned.topic}" was never assigned to generation ${String(assigned.generation)}: call assign() on every rebalance`,
    )
}

function staleGeneration({ group, topic, partition, generation }: AssignedPartition): IdempotencyError {
  return new IdempotencyError(
    'STALE_GENERATION',
    `partition ${String(partition)} of topic "${topic}" is no longer held by generation ${String(generation)} of group "${group}": roll back and stop reading it`,
  )
}
