import { type Queryable, quoteIdentifier, schemaOption } from '@malote/outbox-core/postgres'
import { type KeyRecord, type StoredResponse, toKeyRecord } from '../../key-record.ts'
import { type KeyStatements, keyStatements } from '../../key-statements.ts'
import { isCommitUnknown } from '../../../errors.ts'
import { spaceTries } from '../../../retry.ts'
import { type Database, databaseOption, type OpenTransaction, runTransaction } from '../../../database/transaction.ts'
import type {
  LeasedKey,
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
    held: LeasedKey,
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
  const claimStatements = { ...keyStatements(s), ...statements }

  const inTransaction = <Result>(work: (sql: Queryable) => Promise<Result>): Promise<Result> =>
    runTransaction(db, 'read committed', ({ sql }) => work(sql))
  const changes = (statement: string, values: unknown[]): Promise<boolean> =>
    inTransaction(async (sql) => (await sql.query(statement, values)).rows.length > 0)

  return {
    name: 'postgres',
    claim: (claim) => claimForCertain(inTransaction, claimStatements, claim),
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

type InTransaction = <Result>(work: (sql: Queryable) => Promise<Result>) => Promise<Result>

/**
 * Claims, and finds out by itself when the acknowledgement of COMMIT is lost: the client's retry would find the key held, by nobody,
 * until its lease runs out. @throws IdempotencyError `COMMIT_UNKNOWN` when the database does not tell in time
 */
async function claimForCertain(
  inTransaction: InTransaction,
  statements: ClaimStatements,
  claim: LeaseClaim,
): Promise<LeaseClaimResult> {
  for (let attempt = 1; ; attempt++) {
    const last: { claim?: LeaseClaimResult; transaction?: string | undefined } = {}
    try {
      return await inTransaction(async (sql) => {
        const [claimed, transaction] = await claimOn(sql, statements, claim)
        Object.assign(last, { claim: claimed, transaction })
        return claimed
      })
    } catch (error) {
      const claimed = last.claim
      if (!isCommitUnknown(error) || attempt > 3 || claimed?.kind !== 'claimed' || last.transaction === undefined)
        throw error
      const held = { ...claim, ...claimed }
      if (await hasClaimed(inTransaction, statements, held, last.transaction, error)) return claimed
    }
  }
}

/** @throws the error that made it unknown, when it stays unknown */
async function hasClaimed(
  inTransaction: InTransaction,
  { whetherClaimed }: ClaimStatements,
  held: LeasedKey,
  transaction: string,
  unknown: unknown,
): Promise<boolean> {
  const nextTry = spaceTries({ firstMs: 10, pauses: 10 })
  do {
    const answer = await inTransaction((sql) => sql.query(whetherClaimed, [...name(held), transaction])).catch(() => {
      throw unknown
    })
    if (answer.rows[0]?.['is_held'] === true) return true
    if (answer.rows[0]?.['status'] === 'aborted') return false
    // Else its backend has not noticed yet that nobody is there.
  } while (await nextTry())
  throw unknown
}

type ClaimStatements = LeaseStatements & Pick<KeyStatements, 'read' | 'removeExpired' | 'removeRows'>

/** @returns what the claim answers, and the transaction that wrote it if it wrote */
async function claimOn(
  sql: Queryable,
  statements: ClaimStatements,
  claim: LeaseClaim,
): Promise<[LeaseClaimResult, transaction?: string]> {
  const { read, removeExpired, removeRows } = statements
  const { tenant, keyHash, otherHashes } = claim
  const names = [tenant, [keyHash, ...otherHashes]]
  for (;;) {
    const { tooOld, claimed, transaction } = await insertHashes(sql, statements, claim)
    const isClaimed = claimed.length === otherHashes.length + 1
    // Of a key that is claimed the current hash stays, of one that is known nothing.
    const surplus = claimed.filter((hash) => !isClaimed || !hash.equals(keyHash))
    if (surplus.length > 0) await sql.query(removeRows, [tenant, surplus])
    if (isClaimed)
      return [{ kind: 'claimed', keyHash, fence: 1, attempt: 1, recovery: null, takenOver: false }, transaction]
    const { rows } = await sql.query(read, names)
    const record = rows.map(toKeyRecord).find(({ expired }) => !expired)
    if (record !== undefined && !isFree(record)) return [{ kind: 'known', record }]
    if (record !== undefined) {
      const taken = await takeOver(sql, statements, claim, record.keyHash)
      if (taken !== undefined) return taken
    } else if (rows.length > 0) await sql.query(removeExpired, names)
    else if (tooOld) return [{ kind: 'too-old' }]
    // Else purged between two statements: the key is free again.
  }
}

/** Whether a claim may take it, if the row still says so when it is locked. */
function isFree({ state, leaseMs }: KeyRecord): boolean {
  return state === 'retryable' || (state === 'in_progress' && (leaseMs ?? 0) < 0)
}

async function insertHashes(
  sql: Queryable,
  statements: LeaseStatements,
  claim: LeaseClaim,
): Promise<{ readonly tooOld: boolean; readonly claimed: readonly Buffer[]; readonly transaction: string }> {
  const { rows } = await sql.query(statements.claim, [
    claim.tenant,
    [claim.keyHash, ...claim.otherHashes],
    claim.subjectHash,
    claim.fingerprintVersion,
    claim.fingerprint,
    claim.operation,
    claim.leaseMs,
    claim.keyRetentionMs,
    claim.keyTime,
  ])
  const claimed = rows.map((row) => row['key_hash'] as Buffer | null).filter((hash) => hash !== null)
  return { tooOld: rows[0]?.['too_old'] === true, claimed, transaction: String(rows[0]?.['transaction']) }
}

/** Takes a key that looked free. @returns what the claim answers; undefined when there is no such key any more */
async function takeOver(
  sql: Queryable,
  statements: LeaseStatements & Pick<KeyStatements, 'read'>,
  claim: LeaseClaim,
  keyHash: Buffer,
): Promise<[LeaseClaimResult, transaction?: string] | undefined> {
  const { rows: taken } = await sql.query(statements.takeOver, [
    claim.tenant,
    keyHash,
    claim.fingerprintVersion,
    claim.fingerprint,
    claim.leaseMs,
    claim.onLeaseExpired !== 'hold',
    claim.maxAttempts,
  ])
  if (taken[0]?.['state'] === 'in_progress') return [toClaimed(taken[0]), String(taken[0]['transaction'])]
  const { rows } = await sql.query(statements.read, [claim.tenant, [keyHash]])
  return rows[0] === undefined ? undefined : [{ kind: 'known', record: toKeyRecord(rows[0]) }]
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

function name({ tenant, keyHash, fence }: LeasedKey): unknown[] {
  return [tenant, keyHash, fence]
}

function completion(
  held: LeasedKey,
  response: StoredResponse | typeof undoneResponse,
  retention: Retention,
): unknown[] {
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
    keyHash: row['key_hash'] as Buffer,
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
    request: {
      subjectHash: row['subject_hash'] as Buffer,
      fingerprintVersion: Number(row['fingerprint_version']),
      fingerprint: row['fingerprint'] as Buffer,
    },
  }
}
