import { type Queryable, sqlStateOf } from '@malote/outbox-core/postgres'
import type { NotRun } from '../answer.ts'
import { createHandlerSavepoint, type HandlerSavepoint } from '../../database/handler-savepoint.ts'
import type { HttpResponse } from '../http.ts'
import type { Settings } from '../options.ts'
import { fromClaim, meet } from '../key-record.ts'
import { type KeyStatements, keyStatements } from '../key-statements.ts'
import type { PreparedRequest } from '../prepare.ts'
import { type Ending, keyExpired } from '../replay.ts'
import { lockNumberOf } from '../scope.ts'
import { createResponseSealer } from '../stored-response.ts'
import { Undo } from './run-handler.ts'
import type { Statement } from '../../database/statement.ts'
import { commitTells, type Database, type Opening, type TransactionSteps } from '../../database/transaction.ts'

/** What came of trying to claim a key: the right to run its request, or what to do without. */
export type Claim = { readonly kind: 'claimed' } | NotRun | Ending

/** What came of claiming the keys of a transaction. */
export interface Claims {
  /** One for each request, in the order given. */
  readonly claims: readonly Claim[]
  /** Before the handler, after whatever was removed here: that must not come back with what the handler undoes. */
  readonly savepoint: HandlerSavepoint
  /** The number of the transaction, for which PostgreSQL knows later what became of it. Undefined when nothing was claimed. */
  readonly transaction: string | undefined
  /** What the transaction is known by while it is open. */
  readonly mark: string
}

/** A request whose response is to be stored. */
export interface Completion {
  readonly request: PreparedRequest
  readonly response: HttpResponse
  readonly resourceRef: string | undefined
}

/**
 * The keys of one atomic operation, in the transaction of their requests. Requests of one transaction have different keys.
 * Keys are claimed and written in one order for all transactions, whatever the order of the requests.
 */
export interface AtomicStore {
  /** What the transaction of the requests begins with. */
  opening(requests: readonly PreparedRequest[]): Opening
  /** Judges what the opening answered. Nothing is written: a claimed key is held by locks alone. */
  claim(open: TransactionSteps, requests: readonly PreparedRequest[]): Promise<Claims>
  /** Stores the responses. The last statement before COMMIT: it fails when the handler left the transaction failed. */
  complete(open: TransactionSteps, requests: readonly PreparedRequest[], done: readonly Completion[]): void
  /** The ending, or the plainer error, behind an error that `complete` brought about. */
  explain(error: unknown): unknown
}

export function createAtomicStore(
  settings: Settings,
  operation: string,
  { timeoutMs, takesOver }: { readonly timeoutMs: number; readonly takesOver: boolean },
): AtomicStore {
  const statements = keyStatements(settings.quotedSchema)
  const seal = createResponseSealer(settings)
  const cap = settings.maxKeysPerTenant ?? null
  const claimOf = (request: PreparedRequest, mark: string, place: number): Statement => {
    const hashes = hashesOf(request)
    return statements.claim(
      [...hashes].sort((a, b) => a.compare(b)).map(lockNumberOf),
      request.tenant,
      hashes,
      settings.keyRetentionMs,
      request.keyTime?.toISOString() ?? null,
      idleLimit(settings.db, timeoutMs),
      cap,
      mark,
      place,
    )
  }
  const finishOf = ({ request, response, resourceRef }: Completion, mark: string): Statement => {
    const stored = seal(request, response, resourceRef)
    return statements.finish(
      request.tenant,
      hashesOf(request),
      request.subjectHash(),
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
      mark,
    )
  }
  return {
    opening: (requests) => {
      const places = new Map(requests.map((request, place) => [request, place]))
      const claims = [...requests].sort(inKeyOrder)
      // Where the savepoint comes with BEGIN, it is all that is needed.
      const marks = commitTells(settings.db) ? [] : [statements.mark(markOf(requests))]
      if (claims.length === 0) return { withSavepoint: true, statements: marks }
      return {
        withSavepoint: true,
        statements: claims.map((one) => claimOf(one, markOf(requests), places.get(one) as number)),
      }
    },
    claim: async (open, requests) => {
      let isHere = open.hasSavepoint
      const claims: Claim[] = []
      // The procedure, which is for one request, does not say its place.
      const found = new Map(open.rows.map((row) => [Number(row['place'] ?? 0), row]))
      let transaction: string | undefined
      for (const [place, request] of requests.entries()) {
        const again = (): Statement => claimOf(request, markOf(requests), place)
        const judged = await judge(settings, statements, again, open.sql, found.get(place) ?? {}, request, takesOver)
        claims.push(judged.claim)
        isHere &&= !judged.hasWritten
        transaction ??= judged.transaction
      }
      return { claims, savepoint: createHandlerSavepoint(open.sql, isHere), transaction, mark: markOf(requests) }
    },
    complete: (open, requests, done) => {
      if (done.length === 0) return
      const ordered = [...done].sort((a, b) => inKeyOrder(a.request, b.request))
      open.endWith(ordered.map((one) => finishOf(one, markOf(requests))))
    },
    explain: (error) => (sqlStateOf(error) === 'ML004' ? new Undo(tooManyKeys(settings)) : error),
  }
}

/** What `claim_key_v1` answers where `claim_v1` says "claimed": the number of the transaction. */
const isNumber = /^\d+$/

function transactionOf(row: Record<string, unknown> | undefined): string | undefined {
  const claimed = row?.['claimed']
  if (typeof claimed === 'string' && isNumber.test(claimed)) return claimed
  return (row?.['transaction'] as string | null | undefined) ?? undefined
}

const hashesOf = (request: PreparedRequest): readonly Buffer[] => [request.keyHash, ...request.otherHashes]

/** Leaves with its transaction, and is known to nobody else in it. */
const markOf = (requests: readonly PreparedRequest[]): string => requests[0]?.keyHash.toString('hex') ?? 'no key'

/** Of two transactions that write for the same tenants and keys one waits for the other, and not each for the other. */
function inKeyOrder(a: PreparedRequest, b: PreparedRequest): number {
  if (a.tenant !== b.tenant) return a.tenant < b.tenant ? -1 : 1
  return a.keyHash.compare(b.keyHash)
}

/** `hasWritten`: a record that counts as absent was removed on the way. */
async function judge(
  settings: Settings,
  statements: KeyStatements,
  again: () => Statement,
  sql: Queryable,
  found: Record<string, unknown>,
  request: PreparedRequest,
  takesOver: boolean,
): Promise<{ readonly claim: Claim; readonly hasWritten: boolean; readonly transaction: string | undefined }> {
  let row: Record<string, unknown> | undefined = found
  for (let round = 0; round < 3; round++) {
    const claim = judgeOnce(settings, String(row?.['claimed']), request, takesOver)
    if (typeof claim !== 'string') return { claim, hasWritten: round > 0, transaction: transactionOf(row) }
    const remove = { expired: 'removeExpired', retryable: 'removeRetryable', abandoned: 'removeAbandoned' } as const
    await sql.query(statements[remove[claim]], [request.tenant, hashesOf(request)])
    const { text, values } = again()
    row = (await sql.query(text, [...values])).rows[0]
  }
  return { claim: { kind: 'busy' }, hasWritten: true, transaction: undefined }
}

/** @param claimed - what `claim_v1` answered: a word, or the records that are known */
function judgeOnce(
  settings: Settings,
  claimed: string,
  request: PreparedRequest,
  takesOver: boolean,
): Claim | 'expired' | 'retryable' | 'abandoned' {
  if (claimed === 'too-old') return keyExpired(settings)
  if (claimed === 'full') return tooManyKeys(settings)
  if (claimed === 'busy' || claimed === 'claimed') return { kind: claimed }
  if (isNumber.test(claimed)) return { kind: 'claimed' }
  const known = JSON.parse(claimed) as { readonly is_free: boolean; readonly records: Record<string, unknown>[] }
  // Rows under two peppers are the work of a process that did not know one of them: what is remembered counts.
  const records = known.records.map(fromClaim)
  const record = records.find(({ expired }) => !expired) ?? records[0]
  if (record === undefined) return { kind: 'busy' }
  const meeting = meet(record, request.fingerprint)
  // Its holder is gone, and may have called a foreign system: only the application knows whether this one may go on.
  if (meeting === 'abandoned' && !takesOver) return { kind: 'known', record, meeting: 'indeterminate' }
  if (meeting !== 'expired' && meeting !== 'retryable' && meeting !== 'abandoned')
    return { kind: 'known', record, meeting }
  return known.is_free ? meeting : { kind: 'busy' }
}

/**
 * How long PostgreSQL lets the transaction idle: longer than the handler may take, for the timer of this process comes
 * first. It is for a process that hangs or is gone. A Kysely does not let anybody listen to its connections, and one that
 * ends while nobody listens ends the process: there the limit is one that only a hanging process meets.
 */
function idleLimit(db: Database, timeoutMs: number): string {
  return `${String(timeoutMs + ('transaction' in db ? 60_000 : 1_000))}ms`
}

function tooManyKeys(settings: Settings): Ending {
  const detail = `At most ${String(settings.maxKeysPerTenant)} keys may be remembered at a time.`
  return {
    outcome: 'refused',
    response: settings.problem('too-many-keys', { detail, retryAfterSeconds: 60 }),
  }
}
