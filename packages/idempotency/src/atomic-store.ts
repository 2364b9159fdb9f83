import type { Queryable } from '@malote/outbox-core/postgres'
import { IdempotencyError } from './errors.ts'
import { fingerprintVersion } from './fingerprint.ts'
import type { HttpResponse } from './http.ts'
import type { Settings } from './idempotency-options.ts'
import { type KeyRecord, meet, type SettledMeeting, toKeyRecord } from './key-record.ts'
import { type KeyStatements, keyStatements } from './key-statements.ts'
import type { PreparedRequest } from './prepare.ts'
import { type Ending, keyExpired } from './replay.ts'
import { lockNumberOf } from './scope.ts'
import { createResponseSealer } from './stored-response.ts'
import type { Database } from './transaction.ts'

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
  const statements = keyStatements(settings.quotedSchema)
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

interface ClaimRow {
  readonly free: boolean
  readonly too_old: boolean
  readonly claimed: boolean
}

async function claim<Db extends Database, Context>(
  context: ClaimContext<Db, Context>,
  db: Queryable,
  request: PreparedRequest,
): Promise<Claim> {
  const { settings, statements } = context
  const name = [request.tenant, request.keyHash]
  for (let round = 0; round < 3; round++) {
    const { free, too_old, claimed } = await tryClaim(context, db, request)
    if (claimed) {
      await assertBelowCap(context, db, request.tenant)
      return { kind: 'claimed' }
    }
    const { rows } = await db.query(statements.read, name)
    if (rows[0] === undefined) {
      if (too_old) return { kind: 'ended', ending: keyExpired(settings) }
      if (!free) return { kind: 'busy' }
      continue // Purged between the two statements: the key is free again.
    }
    const record = toKeyRecord(rows[0])
    const meeting = meet(record, request.fingerprint)
    if (meeting !== 'expired' && meeting !== 'retryable') return { kind: 'known', record, meeting }
    if (!free) return { kind: 'busy' }
    await db.query(meeting === 'expired' ? statements.removeExpired : statements.removeRetryable, name)
  }
  return { kind: 'busy' }
}

async function tryClaim<Db extends Database, Context>(
  { settings, statements, operation, timeoutMs }: ClaimContext<Db, Context>,
  db: Queryable,
  request: PreparedRequest,
): Promise<ClaimRow> {
  const { rows } = await db.query(statements.claim, [
    lockNumberOf(request.keyHash),
    request.tenant,
    request.keyHash,
    request.subjectHash,
    fingerprintVersion,
    request.fingerprint,
    operation,
    `${String(timeoutMs)}ms`,
    settings.bodyRetentionMs,
    settings.keyRetentionMs,
    request.keyTime,
  ])
  return rows[0] as unknown as ClaimRow
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
