import { type IsolationLevel, type Queryable, sqlStateOf } from '@malote/outbox-core/postgres'
import type { NotRun } from '../answer.ts'
import { type ClaimAnswer, claimAnswer } from '../../database/claim-answer.ts'
import { createHandlerSavepoint, type HandlerSavepoint } from '../../database/handler-savepoint.ts'
import type { HttpResponse } from '../http.ts'
import type { Settings } from '../options.ts'
import { fromClaim, meet } from '../key-record.ts'
import { type KeyStatements, keyStatements } from '../key-statements.ts'
import type { PreparedRequest } from '../prepare.ts'
import type { Ending } from '../ending.ts'
import { keyExpired, tooManyKeys } from '../refusals.ts'
import { lockNumberOf } from '../scope.ts'
import { createResponseSealer } from '../stored-response.ts'
import { afterRollback, type HandlersWork } from './effects-without-record.ts'
import { createRememberedKeys } from './remembered-keys.ts'
import { Undo } from './run-handler.ts'
import type { Statement } from '../../database/statement.ts'
import {
  askInOneTrip,
  commitTells,
  type Database,
  type Opening,
  type OpenTransaction,
  runTransaction,
  type TransactionSteps,
} from '../../database/transaction.ts'

/** What came of trying to claim a key: the right to run its request, or what to do without. */
export type Claim = Claimed | NotRun | Ending

interface Claimed {
  readonly kind: 'claimed'
}

export function isClaimed(claim: Claim): claim is Claimed {
  return 'kind' in claim && claim.kind === 'claimed'
}

/** A request whose response is to be stored. */
export interface Completion {
  readonly request: PreparedRequest
  readonly response: HttpResponse
  readonly resourceRef: string | undefined
}

/** A transaction that has tried to claim the keys of its requests, and has done nothing else. */
export interface ClaimedKeys<Db extends Database> {
  readonly open: OpenTransaction<Db>
  /** One for each request, in the order given. */
  readonly claims: readonly Claim[]
  /** Before the handler, after whatever was removed here: that must not come back with what the handler undoes. */
  readonly savepoint: HandlerSavepoint
  /**
   * From here on a handler runs, which may end the transaction: whatever that fails with is looked into.
   *
   * @param savepoint - null: it is not taken
   * @param requests - whose effects are in the transaction, asked when it has failed
   */
  begins(savepoint: HandlerSavepoint | null, requests: () => readonly PreparedRequest[]): HandlersWork
  /** Stores the responses. The last statement before COMMIT: it fails when the handler left the transaction failed. */
  complete(done: readonly Completion[]): void
}

/**
 * Runs `work` in a transaction that begins with the claim of the requests' keys. A claimed key is held by locks alone, and nothing is written
 * before its response: the opposite of lease mode, whose row must be there for others while a foreign system is called, and of a message,
 * whose row is its claim. The requests have different keys; these are claimed and written in one order for all transactions.
 *
 * @throws what the transaction has failed with, and been judged to: `Undo` with a response, or an error
 */
export interface ClaimKeys<Db extends Database> {
  <Result>(requests: readonly PreparedRequest[], work: (keys: ClaimedKeys<Db>) => Promise<Result>): Promise<Result>
  /**
   * Asks as a claim does, in one round trip and without holding anything: for a key that is remembered here to have a record.
   *
   * @returns the record; undefined when the key must be claimed
   */
  recall(request: PreparedRequest): Promise<KnownKey | undefined>
  /** The key has a record: a retry may be answered by `recall`. */
  remember(request: PreparedRequest): void
}

type KnownKey = Extract<NotRun, { readonly kind: 'known' }>

export function createClaimKeys<Db extends Database>(
  settings: Settings & { readonly db: Db },
  operation: string,
  options: { readonly timeoutMs: number; readonly takesOver: boolean; readonly isolation: IsolationLevel },
): ClaimKeys<Db> {
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
      idleLimit(settings.db, options.timeoutMs),
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

  function openingOf(requests: readonly PreparedRequest[], mark: string): Opening {
    const places = new Map(requests.map((request, place) => [request, place]))
    const claims = [...requests].sort(inKeyOrder).map((one) => claimOf(one, mark, places.get(one) as number))
    if (claims.length > 0) return { withSavepoint: true, statements: claims }
    // Where the savepoint comes with BEGIN, it is all that is needed.
    return { withSavepoint: true, statements: commitTells(settings.db) ? [] : [statements.mark(mark)] }
  }

  /** Judges what the opening answered. */
  async function judgeAll(open: TransactionSteps, requests: readonly PreparedRequest[], mark: string) {
    let isHere = open.hasSavepoint
    const claims: Claim[] = []
    // The procedure, which is for one request, does not say its place.
    const found = new Map(open.rows.map((row) => [Number(row['place'] ?? 0), row]))
    let transaction: string | undefined
    for (const [place, request] of requests.entries()) {
      const again = (): Statement => claimOf(request, mark, place)
      const answer = claimAnswer(found.get(place), 'claimed')
      const judged = await judge(settings, statements, again, open.sql, answer, request, options.takesOver)
      claims.push(judged.claim)
      isHere &&= !judged.hasWritten
      transaction ??= judged.transaction
    }
    return { claims, savepoint: createHandlerSavepoint(open.sql, isHere), transaction }
  }

  const remembered = createRememberedKeys()

  async function recall(request: PreparedRequest): Promise<KnownKey | undefined> {
    const mark = markOf([request])
    if (!remembered.has(mark)) return undefined
    const rows = await askInOneTrip(settings.db, claimOf(request, mark, 0))
    if (rows === undefined) return undefined
    const claim = judgeOnce(settings, claimAnswer(rows[0], 'claimed'), request, options.takesOver)
    if (typeof claim === 'object' && 'kind' in claim && claim.kind === 'known') return claim
    // Purged, or free again. What the question has held is gone with its statement: it is claimed like any other.
    remembered.forget(mark)
    return undefined
  }

  async function claimKeys<Result>(
    requests: readonly PreparedRequest[],
    work: (keys: ClaimedKeys<Db>) => Promise<Result>,
  ): Promise<Result> {
    const mark = markOf(requests)
    let begun: HandlersWork | null = null
    const inside = async (open: OpenTransaction<Db>) => {
      const { claims, savepoint, transaction } = await judgeAll(open, requests, mark)
      return work({
        open,
        claims,
        savepoint,
        begins: (point, whose) => (begun = { sql: open.sql, savepoint: point, transaction, mark, requests: whose }),
        complete: (done) => {
          if (done.length === 0) return
          const ordered = [...done].sort((a, b) => inKeyOrder(a.request, b.request))
          open.endWith(ordered.map((one) => finishOf(one, mark)))
        },
      })
    }
    try {
      return await runTransaction(settings.db, options.isolation, inside, openingOf(requests, mark))
    } catch (error) {
      const why = await afterRollback(settings, operation, begun, error)
      throw sqlStateOf(why) === 'ML004' ? new Undo(tooManyKeys(settings)) : why
    }
  }
  const remember = (request: PreparedRequest): void => remembered.add(markOf([request]))
  return Object.assign(claimKeys, { recall, remember })
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
  found: ClaimAnswer,
  request: PreparedRequest,
  takesOver: boolean,
): Promise<{ readonly claim: Claim; readonly hasWritten: boolean; readonly transaction: string | undefined }> {
  let answer = found
  for (let round = 0; round < 3; round++) {
    const claim = judgeOnce(settings, answer, request, takesOver)
    if (typeof claim !== 'string') return { claim, hasWritten: round > 0, transaction: answer.transaction }
    const remove = { expired: 'removeExpired', retryable: 'removeRetryable', abandoned: 'removeAbandoned' } as const
    await sql.query(statements[remove[claim]], [request.tenant, hashesOf(request)])
    const { text, values } = again()
    answer = claimAnswer((await sql.query(text, [...values])).rows[0], 'claimed')
  }
  return { claim: { kind: 'busy' }, hasWritten: true, transaction: undefined }
}

function judgeOnce(
  settings: Settings,
  answer: ClaimAnswer,
  request: PreparedRequest,
  takesOver: boolean,
): Claim | 'expired' | 'retryable' | 'abandoned' {
  if (answer.isClaimed) return { kind: 'claimed' }
  if (answer.text === 'too-old') return keyExpired(settings)
  if (answer.text === 'full') return tooManyKeys(settings)
  if (answer.text === 'busy') return { kind: 'busy' }
  const known = JSON.parse(answer.text) as { readonly is_free: boolean; readonly records: Record<string, unknown>[] }
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
