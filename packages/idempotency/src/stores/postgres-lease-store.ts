import { type Queryable, quoteIdentifier, schemaOption } from '@malote/outbox-core/postgres'
import { type StoredResponse, toKeyRecord } from '../key-record.ts'
import { keyStatements } from '../key-statements.ts'
import { type Database, databaseOption, type OpenTransaction, runTransaction } from '../transaction.ts'
import type {
  HeldKey,
  LeaseClaim,
  LeaseClaimResult,
  LeaseStore,
  Recovery,
  Retention,
  UnresolvedKey,
} from './lease-store.ts'
import { type LeaseStatements, leaseStatements } from './lease-statements.ts'

/** The store that can also commit the effects of a handler together with its response. */
export interface PostgresLeaseStore<Db extends Database> extends LeaseStore {
  /**
   * Runs `work` in a transaction that holds the key against every take-over, stores the response it returns, and commits.
   *
   * @returns false, without running `work`, when the key is not held any more
   * @throws as `runTransaction`: everything but `COMMIT_UNKNOWN` means that nothing was kept
   */
  completeWith(
    held: HeldKey,
    retention: Retention,
    work: (open: OpenTransaction<Db>) => Promise<StoredResponse>,
  ): Promise<boolean>
}

/** @throws IdempotencyError `INVALID_OPTION` */
export function createPostgresLeaseStore<Db extends Database>(
  db: Db,
  options: { readonly schema?: string } = {},
): PostgresLeaseStore<Db> {
  databaseOption(db)
  const s = quoteIdentifier(schemaOption(options.schema))
  const statements = leaseStatements(s)
  const known = keyStatements(s)

  const inTransaction = <Result>(work: (sql: Queryable) => Promise<Result>): Promise<Result> =>
    runTransaction(db, 'read committed', ({ sql }) => work(sql))
  const changes = (statement: string, values: unknown[]): Promise<boolean> =>
    inTransaction(async (sql) => (await sql.query(statement, values)).rows.length > 0)

  return {
    name: 'postgres',
    claim: (claim) => inTransaction((sql) => claimOn(sql, statements, known, claim)),
    renew: (held, leaseMs) => changes(statements.renew, [...name(held), leaseMs]),
    saveRecovery: (held, { point, data }) =>
      changes(statements.saveRecovery, [...name(held), point, JSON.stringify(data ?? null)]),
    complete: (held, response, retention) => changes(statements.complete, completion(held, response, retention)),
    completeWith: (held, retention, work) =>
      runTransaction(db, 'read committed', async (open) => {
        const locked = await open.sql.query(statements.lockHeld, name(held))
        if (locked.rows.length === 0) return false
        const response = await work(open)
        await open.sql.query(statements.complete, completion(held, response, retention))
        return true
      }),
    release: (held, state, { keyRetentionMs }) => changes(statements.release, [...name(held), state, keyRetentionMs]),
    listUnresolved: (limit) =>
      inTransaction(async (sql) => (await sql.query(statements.listUnresolved, [limit])).rows.map(toUnresolvedKey)),
    resolve: (key, decision, retention) => {
      const response = decision === 'retryable' ? undoneResponse : decision
      return changes(statements.resolve, completion({ ...key, fence: 1 }, response, retention))
    },
  }
}

interface KnownStatements {
  readonly read: string
  readonly removeExpired: string
}

async function claimOn(
  sql: Queryable,
  statements: LeaseStatements,
  { read, removeExpired }: KnownStatements,
  claim: LeaseClaim,
): Promise<LeaseClaimResult> {
  const { tenant, keyHash, fingerprintVersion, fingerprint, leaseMs } = claim
  const identity = [fingerprintVersion, fingerprint]
  for (;;) {
    const { rows: gates } = await sql.query(statements.claim, [
      tenant,
      keyHash,
      claim.subjectHash,
      ...identity,
      claim.operation,
      leaseMs,
      claim.keyRetentionMs,
      claim.keyTime,
    ])
    const gate = gates[0] as { too_old: boolean; fence: string | null }
    if (gate.fence !== null)
      return { kind: 'claimed', fence: Number(gate.fence), attempt: 1, recovery: null, takenOver: false }
    const mayTakeOver = claim.onLeaseExpired !== 'hold'
    const { rows: taken } = await sql.query(statements.takeOver, [
      tenant,
      keyHash,
      ...identity,
      leaseMs,
      mayTakeOver,
      claim.maxAttempts,
    ])
    if (taken[0]?.['state'] === 'in_progress') return toClaimed(taken[0])
    const { rows: known } = await sql.query(read, [tenant, keyHash])
    if (known[0] === undefined) {
      if (gate.too_old) return { kind: 'too-old' }
      continue // Purged between two statements: the key is free again.
    }
    const record = toKeyRecord(known[0])
    if (!record.expired) return { kind: 'known', record }
    await sql.query(removeExpired, [tenant, keyHash])
  }
}

/** What `resolve` writes for a key that may be tried again. */
const undoneResponse = {
  status: null,
  headers: null,
  body: null,
  bodyKept: false,
  encryptionKeyId: null,
  resourceRef: null,
}

function name({ tenant, keyHash, fence }: HeldKey): unknown[] {
  return [tenant, keyHash, fence]
}

function completion(held: HeldKey, response: StoredResponse | typeof undoneResponse, retention: Retention): unknown[] {
  return [
    ...name(held),
    response.status,
    response.headers === null ? null : JSON.stringify(response.headers),
    response.body,
    response.bodyKept,
    response.encryptionKeyId,
    response.resourceRef,
    retention.bodyRetentionMs,
    retention.keyRetentionMs,
  ]
}

function toClaimed(row: Record<string, unknown>): LeaseClaimResult {
  return {
    kind: 'claimed',
    fence: Number(row['fence']),
    attempt: Number(row['attempt']),
    recovery: toRecovery(row),
    takenOver: row['expired'] === true,
  }
}

function toRecovery(row: Record<string, unknown>): Recovery | null {
  return row['recovery_point'] === null ? null : { point: row['recovery_point'] as string, data: row['recovery_data'] }
}

function toUnresolvedKey(row: Record<string, unknown>): UnresolvedKey {
  return {
    tenant: row['tenant_id'] as string,
    keyHash: row['key_hash'] as string,
    operation: row['operation'] as string,
    state: row['state'] as UnresolvedKey['state'],
    attempt: Number(row['attempt']),
    createdAt: row['created_at'] as Date,
    recovery: toRecovery(row),
  }
}
