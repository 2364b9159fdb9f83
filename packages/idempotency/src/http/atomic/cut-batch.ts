import { IdempotencyError, isCommitUnknown, isEndedByHandler, isTimeout } from '../../errors.ts'
import type { HandlerSavepoint } from '../../database/handler-savepoint.ts'
import type { HandlerResponse } from '../http.ts'
import { type HandlerResult, toResult } from './run-handler.ts'
import { isTransient } from '../../database/retry-transient.ts'
import { isUnavailable } from '../../database/unavailable.ts'

/**
 * Runs the items in one transaction. When it fails for a reason that may be one item's, in two of half the size; when the
 * database is gone, every item gets that for an answer, for each half would wait for it again.
 *
 * @param failed - what an item comes to whose transaction has failed
 */
export async function inTransactions<Item, Verdict>(
  items: readonly Item[],
  transact: (items: readonly Item[]) => Promise<readonly Verdict[]>,
  failed: (error: unknown) => Verdict,
): Promise<ReadonlyMap<Item, Verdict>> {
  const verdicts = new Map<Item, Verdict>()
  let parts: (readonly Item[])[] = [items]
  for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
    try {
      const found = await transact(part)
      for (const [at, item] of part.entries()) verdicts.set(item, found[at] as Verdict)
    } catch (error) {
      if (part.length > 1 && mayBeOnes(error)) {
        parts.unshift(...halves(part))
        continue
      }
      for (const item of part) verdicts.set(item, failed(error))
      if (mayBeOnes(error)) continue
      for (const item of parts.flat()) verdicts.set(item, failed(ofTheNext(error)))
      parts = []
    }
  }
  return verdicts
}

/** Whether one item alone may have brought the error about: not an outage or an overrun. */
function mayBeOnes(error: unknown): boolean {
  if (error instanceof IdempotencyError && ['COMMIT_UNKNOWN', 'SCHEMA_MISSING'].includes(error.code)) return false
  return !isTimeout(error) && !isUnavailable(error)
}

/** What those are told that were not tried any more: nobody has committed for them. */
function ofTheNext(error: unknown): unknown {
  if (!isCommitUnknown(error)) return error
  return new IdempotencyError('STORE_UNAVAILABLE', 'not tried: the database was lost just before', { cause: error })
}

/** What one request of a batch came to: what its handler returned, or the error that it alone brings about. */
export type Part = HandlerResult | { readonly error: unknown }

type Handle<Item> = (items: readonly Item[]) => Promise<readonly HandlerResponse[]>

/**
 * Runs a batch's handler in one transaction so that each request ends as if the requests had run one after the other, in the order given: behind a
 * savepoint for all of them together first. When one of them fails, or its effects are to be undone, all are undone and
 * run again in parts: those before it, it alone, and those after it. A handler that throws does not say whose fault it is;
 * there the parts are halves.
 *
 * @param touched - told whose effects are in the transaction: empty before, and a part that was undone is out of it again
 * @returns one part per item. Only the effects of parts whose fate is `store` are left in the transaction.
 * @throws what says nothing about any one request: a conflict, an overrun, a transaction that is gone
 */
export async function runInParts<Item>(
  items: readonly Item[],
  handle: Handle<Item>,
  savepoint: HandlerSavepoint,
  touched: Set<Item>,
): Promise<readonly Part[]> {
  const ended = new Map<Item, Part>()
  const parts: (readonly Item[])[] = [items]
  for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
    await savepoint.take()
    for (const item of part) touched.add(item)
    const { outcomes, isThrown } = await outcomesOf(part, handle)
    const isKeptWhole = outcomes.every(isKept)
    if (!isKeptWhole) {
      await savepoint.undo().catch((error: unknown) => transactionGone(outcomes, error))
      for (const item of part) touched.delete(item)
    }
    if (isKeptWhole || part.length === 1) {
      for (const [at, item] of part.entries()) ended.set(item, outcomes[at] as Part)
    } else {
      parts.unshift(...(isThrown ? halves(part) : aroundTheBad(part, outcomes)))
    }
  }
  return items.map((item) => ended.get(item) as Part)
}

const isKept = (part: Part): boolean => !('error' in part) && part.fate === 'store'

interface Outcomes {
  readonly outcomes: readonly Part[]
  /** The handler threw: the error is everybody's. */
  readonly isThrown: boolean
}

/** @throws what says nothing about any one request */
async function outcomesOf<Item>(part: readonly Item[], handle: Handle<Item>): Promise<Outcomes> {
  try {
    const returned: unknown = await handle(part)
    if (!Array.isArray(returned) || returned.length !== part.length)
      throw new IdempotencyError(
        'INVALID_RESPONSE',
        `a batch handler must return one response for each request, in their order: it was given ${String(part.length)}`,
      )
    return { outcomes: returned.map(outcomeOf), isThrown: false }
  } catch (error) {
    if (isTimeout(error) || isTransient(error)) throw error
    return { outcomes: part.map(() => ({ error })), isThrown: true }
  }
}

function outcomeOf(returned: HandlerResponse): Part {
  try {
    return toResult(returned)
  } catch (error) {
    return { error }
  }
}

function halves<Item>(items: readonly Item[]): readonly [readonly Item[], readonly Item[]] {
  const middle = Math.ceil(items.length / 2)
  return [items.slice(0, middle), items.slice(middle)]
}

/** Each request that is known to be bad alone, and those between them together. */
function aroundTheBad<Item>(part: readonly Item[], outcomes: readonly Part[]): readonly (readonly Item[])[] {
  const found: Item[][] = []
  let isOpen = false
  for (const [at, item] of part.entries()) {
    const kept = isKept(outcomes[at] as Part)
    if (kept && isOpen) found.at(-1)?.push(item)
    else found.push([item])
    isOpen = kept
  }
  return found
}

/** Nothing can be undone any more. @throws that the handler has ended the transaction, the handler's error, which says why, or else `error` */
function transactionGone(outcomes: readonly Part[], error: unknown): never {
  const [first] = outcomes
  throw !isEndedByHandler(error) && first !== undefined && 'error' in first ? first.error : error
}
