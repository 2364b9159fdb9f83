import type { Queryable } from '@malote/outbox-core/postgres'
import { IdempotencyError } from '../../errors.ts'
import type { HttpResponse } from '../http.ts'
import type { Settings } from '../options.ts'
import { type KeyRecord, meet, type SettledMeeting, toKeyRecord } from '../key-record.ts'
import { type KeyStatements, keyStatements } from '../key-statements.ts'
import type { PreparedRequest } from '../prepare.ts'
import { type Ending, keyExpired } from '../replay.ts'
import { lockNumberOf } from '../scope.ts'
import { createResponseSealer } from '../stored-response.ts'
import type { Database } from '../../database/transaction.ts'

/** Ends a request with a response, and its transaction with a rollback. */
export class Undo extends Error {
  readonly ending: Ending
  constructor(ending: Ending) {
    super('the transaction is rolled back, its response is sent all the same')
    this.ending = ending
  }
}

/** What came of trying to claim a key. `busy`: another transaction holds it, and nothing of it can be seen. */
export type Claim =
  | { readonly kind: 'claimed' | 'busy' }
  | { readonly kind: 'known'; readonly record: KeyRecord; readonly meeting: SettledMeeting }
  | { readonly kind: 'ended'; readonly ending: Ending }

/** The keys of one atomic operation, in the transaction of the request. */
export interface AtomicStore {
  /** @throws Undo when the tenant has too many keys */
  claim(db: Queryable, request: PreparedRequest): Promise<Claim>
  /** Stores the response. The last statement before COMMIT: it fails when the handler left the transaction failed. */
  complete(db: Queryable, request: PreparedRequest, response: HttpResponse, resourceRef?: string): Promise<void>
}

export function createAtomicStore<Db extends Database, Context>(
  settings: Settings<Db, Context>,
  operation: string,
  timeoutMs: number,
): AtomicStore {
  const statements = keyStatements(settings.quotedSchema, settings.hasher.pepperCount)
  const seal = createResponseSealer(settings)
  return {
    claim: (db, request) => claim({ settings, statements, operation, timeoutMs }, db, request),
    complete: async (db, request, response, resourceRef) => {
      const stored = seal(request, response, resourceRef)
      const { rows } = await db.query(statements.complete, [
        request.tenant,
        request.keyHash,
        1,
        stored.status,
        JSON.stringify(stored.headers),
        stored.body,
        stored.bodyKept,
        stored.encryptionKeyId,
        stored.resourceRef,
      ])
      if (rows.length > 0) return
      throw new IdempotencyError(
        'NOT_A_TRANSACTION',
        'the handler undid the claim of its key: it must not roll back the transaction it was given',
      )
    },
  }
}

interface ClaimContext<Db extends Database, Context> {
  readonly settings: Settings<Db, Context>
  readonly statements: KeyStatements
  readonly operation: string
  readonly timeoutMs: number
}

/** One for each hash that nobody had; one without a hash when somebody has them all. */
interface ClaimRow {
  readonly free: boolean
  readonly too_old: boolean
  readonly key_hash: Buffer | null
}

async function claim<Db extends Database, Context>(
  context: ClaimContext<Db, Context>,
  db: Queryable,
  request: PreparedRequest,
): Promise<Claim> {
  const { settings, statements } = context
  const names = [request.tenant, [request.keyHash, ...request.otherHashes]]
  for (let round = 0; round < 3; round++) {
    const { free, too_old, isClaimed } = await tryClaim(context, db, request)
    if (isClaimed) {
      await assertBelowCap(context, db, request.tenant)
      return { kind: 'claimed' }
    }
    const { rows } = await db.query(statements.read, names)
    // Rows under two peppers are the work of a process that did not know one of them: what is remembered counts.
    const records = rows.map(toKeyRecord)
    const record = records.find(({ expired }) => !expired) ?? records[0]
    if (record === undefined) {
      if (too_old) return { kind: 'ended', ending: keyExpired(settings) }
      if (!free) return { kind: 'busy' }
      continue // Purged between the two statements: the key is free again.
    }
    const meeting = meet(record, request.fingerprint)
    if (meeting !== 'expired' && meeting !== 'retryable') return { kind: 'known', record, meeting }
    if (!free) return { kind: 'busy' }
    await db.query(meeting === 'expired' ? statements.removeExpired : statements.removeRetryable, names)
  }
  return { kind: 'busy' }
}

async function tryClaim<Db extends Database, Context>(
  { settings, statements, operation, timeoutMs }: ClaimContext<Db, Context>,
  db: Queryable,
  request: PreparedRequest,
): Promise<Pick<ClaimRow, 'free' | 'too_old'> & { readonly isClaimed: boolean }> {
  const hashes = [request.keyHash, ...request.otherHashes].sort((a, b) => a.compare(b))
  const { rows } = await db.query(statements.claim, [
    hashes.map(lockNumberOf),
    request.tenant,
    hashes,
    request.subjectHash,
    request.fingerprint.version,
    request.fingerprint.digest,
    operation,
    idleLimit(settings.db, timeoutMs),
    settings.bodyRetentionMs,
    settings.keyRetentionMs,
    request.keyTime,
  ])
  const claimed = rows as unknown as readonly [ClaimRow, ...ClaimRow[]]
  const mine = claimed.map((row) => row.key_hash).filter((hash) => hash !== null)
  const isClaimed = mine.length === hashes.length
  // Of a key that is claimed the current hash stays, of one that is known nothing.
  const surplus = mine.filter((hash) => !isClaimed || !hash.equals(request.keyHash))
  if (surplus.length > 0) await db.query(statements.removeRows, [request.tenant, surplus])
  const [{ free, too_old }] = claimed
  return { free, too_old, isClaimed }
}

/**
 * How long PostgreSQL lets the transaction idle: longer than the handler may take, for the timer of this process comes
 * first. It is for a process that hangs or is gone. A Kysely does not let anybody listen to its connections, and one that
 * ends while nobody listens ends the process: there the limit is one that only a hanging process meets.
 */
function idleLimit(db: Database, timeoutMs: number): string {
  return `${String(timeoutMs + ('transaction' in db ? 60_000 : 1_000))}ms`
}

/** @throws Undo */
async function assertBelowCap<Db extends Database, Context>(
  { settings, statements }: ClaimContext<Db, Context>,
  db: Queryable,
  tenant: string,
): Promise<void> {
  const cap = settings.maxKeysPerTenant
  if (cap === undefined) return
  const { rows } = await db.query(statements.countKeys, [tenant, cap + 1])
  if (Number(rows[0]?.['live']) <= cap) return
  const detail = `At most ${String(cap)} keys may be remembered at a time.`
  throw new Undo({ outcome: 'refused', response: settings.problem('too-many-keys', { detail, retryAfterSeconds: 60 }) })
}
