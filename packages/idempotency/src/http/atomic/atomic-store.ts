import { sqlStateOf } from '@malote/outbox-core/postgres'
import { IdempotencyError } from '../../errors.ts'
import type { HttpResponse } from '../http.ts'
import type { Settings } from '../options.ts'
import { type KeyRecord, meet, type SettledMeeting, toKeyRecord } from '../key-record.ts'
import { type KeyStatements, keyStatements } from '../key-statements.ts'
import type { PreparedRequest } from '../prepare.ts'
import { type Ending, keyExpired } from '../replay.ts'
import { lockNumberOf } from '../scope.ts'
import { createResponseSealer } from '../stored-response.ts'
import type { Statement } from '../../database/statement.ts'
import type { Database, Opening, TransactionSteps } from '../../database/transaction.ts'

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
  /** What the transaction of the request begins with. */
  opening(request: PreparedRequest): Opening
  /** Judges what the opening answered. Nothing is written: a claimed key is held by locks alone. */
  claim(open: TransactionSteps, request: PreparedRequest): Promise<Claim>
  /** Stores the response. The last statement before COMMIT: it fails when the handler left the transaction failed. */
  complete(open: TransactionSteps, request: PreparedRequest, response: HttpResponse, resourceRef?: string): void
  /** The ending, or the plainer error, behind an error that `complete` brought about. */
  explain(error: unknown): unknown
}

/** What the handler did since can be undone without the claim. */
export const handlerSavepoint = 'malote_handler'

export function createAtomicStore<Db extends Database, Context>(
  settings: Settings<Db, Context>,
  operation: string,
  timeoutMs: number,
): AtomicStore {
  const statements = keyStatements(settings.quotedSchema)
  const seal = createResponseSealer(settings)
  const cap = settings.maxKeysPerTenant ?? null
  const claimOf = (request: PreparedRequest): Statement => {
    const hashes = [request.keyHash, ...request.otherHashes]
    return statements.claim(
      [...hashes].sort((a, b) => a.compare(b)).map(lockNumberOf),
      request.tenant,
      hashes,
      settings.keyRetentionMs,
      request.keyTime?.toISOString() ?? null,
      idleLimit(settings.db, timeoutMs),
      cap,
      request.keyHash.toString('hex'),
    )
  }
  return {
    opening: (request) => ({ statement: claimOf(request), savepoint: handlerSavepoint }),
    claim: (open, request) => judge(settings, statements, claimOf(request), open, request),
    complete: (open, request, response, resourceRef) => {
      const stored = seal(request, response, resourceRef)
      open.endWith(
        statements.finish(
          request.tenant,
          [request.keyHash, ...request.otherHashes],
          request.subjectHash,
          request.fingerprint.version,
          request.fingerprint.digest,
          operation,
          stored.status,
          JSON.stringify(stored.headers),
          stored.body,
          stored.bodyKept,
          stored.encryptionKeyId,
          stored.resourceRef,
          settings.bodyRetentionMs,
          settings.keyRetentionMs,
          cap,
          request.keyHash.toString('hex'),
        ),
      )
    },
    explain: (error) => {
      const state = sqlStateOf(error)
      if (state === 'ML004') return new Undo(tooManyKeys(settings))
      if (state !== 'ML003') return error
      return new IdempotencyError(
        'NOT_A_TRANSACTION',
        'the handler ended the transaction it was given: leave COMMIT and ROLLBACK to the caller of the handler',
        { cause: error },
      )
    },
  }
}

async function judge<Db extends Database, Context>(
  settings: Settings<Db, Context>,
  statements: KeyStatements,
  claim: Statement,
  open: TransactionSteps,
  request: PreparedRequest,
): Promise<Claim> {
  const names = [request.tenant, [request.keyHash, ...request.otherHashes]]
  let rows = open.rows
  for (let round = 0; round < 3; round++) {
    const outcome = rows[0]?.['outcome'] as 'known' | 'claimed' | 'busy' | 'too-old' | 'full'
    if (outcome === 'too-old') return { kind: 'ended', ending: keyExpired(settings) }
    if (outcome === 'full') return { kind: 'ended', ending: tooManyKeys(settings) }
    if (outcome === 'busy') return { kind: 'busy' }
    if (outcome === 'claimed') {
      // After whatever was removed here, which must not come back with what the handler undoes.
      if (!open.hasSavepoint || round > 0) await open.sql.query(`savepoint ${handlerSavepoint}`, [])
      return { kind: 'claimed' }
    }
    // Rows under two peppers are the work of a process that did not know one of them: what is remembered counts.
    const records = rows.map(toKeyRecord)
    const record = records.find(({ expired }) => !expired) ?? records[0]
    if (record === undefined) break
    const meeting = meet(record, request.fingerprint)
    if (meeting !== 'expired' && meeting !== 'retryable') return { kind: 'known', record, meeting }
    if (rows[0]?.['is_free'] !== true) return { kind: 'busy' }
    await open.sql.query(meeting === 'expired' ? statements.removeExpired : statements.removeRetryable, names)
    rows = (await open.sql.query(claim.text, [...claim.values])).rows
  }
  return { kind: 'busy' }
}

/**
 * How long PostgreSQL lets the transaction idle: longer than the handler may take, for the timer of this process comes
 * first. It is for a process that hangs or is gone. A Kysely does not let anybody listen to its connections, and one that
 * ends while nobody listens ends the process: there the limit is one that only a hanging process meets.
 */
function idleLimit(db: Database, timeoutMs: number): string {
  return `${String(timeoutMs + ('transaction' in db ? 60_000 : 1_000))}ms`
}

function tooManyKeys<Db extends Database, Context>(settings: Settings<Db, Context>): Ending {
  const detail = `At most ${String(settings.maxKeysPerTenant)} keys may be remembered at a time.`
  return {
    outcome: 'refused',
    response: settings.problem('too-many-keys', { detail, retryAfterSeconds: 60 }),
  }
}
