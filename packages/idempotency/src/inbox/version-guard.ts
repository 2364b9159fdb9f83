import {
  type OutboxTransaction,
  quoteIdentifier,
  schemaOption,
  transactionQueryable,
} from '@malote/outbox-core/postgres'
import { IdempotencyError } from '../errors.ts'
import { consumerStatements } from './consumer-statements.ts'

/** One version of an entity, as a message announces it. */
export interface EntityVersion {
  readonly consumer: string
  /** Which entity, an account id for example. */
  readonly entity: string
  /** Rises by one with each change when `order` is "next"; by anything when it is "latest". From 1. */
  readonly version: number
  /**
   * `latest`: a newer version replaces an older one, versions between may be missed (projections). `next`: every version
   * in turn, none missed (running totals).
   */
  readonly order: 'latest' | 'next'
}

/** Keeps messages of one entity from being applied out of order. Needs no inbox row: the version is the proof. */
export interface VersionGuard {
  /**
   * Runs `fn` if the version is due, in the caller's transaction, which also remembers the version. Two transactions on one
   * entity wait for each other.
   *
   * @returns `outdated` when this or a newer version has been applied: acknowledge and go on
   * @throws IdempotencyError `VERSION_GAP` with "next" when an earlier version is missing: deliver again later;
   *   `INVALID_MESSAGE`. When `fn` throws, roll the transaction back.
   */
  apply(tx: OutboxTransaction, version: EntityVersion, fn: () => Promise<void>): Promise<'processed' | 'outdated'>
}

/** @throws IdempotencyError `INVALID_OPTION` */
export function createVersionGuard(options: { readonly schema?: string } = {}): VersionGuard {
  const s = quoteIdentifier(schemaOption(options.schema))
  const statements = consumerStatements(s)

  return {
    apply: async (tx, { consumer, entity, version, order }, fn) => {
      if (!Number.isSafeInteger(version) || version < 1)
        throw new IdempotencyError(
          'INVALID_MESSAGE',
          `entity "${entity}" has version ${String(version)}: it must be a whole number from 1`,
        )
      const db = await transactionQueryable(tx, `${s}.entity_versions`)
      await db.query(statements.addConsumer, [consumer])
      const advance = order === 'next' ? statements.advanceToNextVersion : statements.advanceToLatestVersion
      const { rows } = await db.query(advance, [consumer, entity, version])
      if (rows.length === 0) {
        const { rows: known } = await db.query(statements.readVersion, [consumer, entity])
        if (Number(known[0]?.['version'] ?? 0) >= version) return 'outdated'
        throw new IdempotencyError(
          'VERSION_GAP',
          `entity "${entity}" of consumer "${consumer}" is not at version ${String(version - 1)} yet: do not acknowledge version ${String(version)}, let it be delivered again`,
        )
      }
      await fn()
      return 'processed'
    },
  }
}
