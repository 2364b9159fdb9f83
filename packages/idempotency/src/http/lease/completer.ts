import type { HandlerResponse } from '../http.ts'
import type { ApplicationSettings } from '../options.ts'
import { encodeResponse, fateOf } from '../response.ts'
import { type LeaseCall, startAttempt } from './attempt.ts'
import { type LeaseOptions, type Lease, resolveLease } from './lease.ts'
import type { LeaseClaimResult, Recovery, UnresolvedKey } from './stores/lease-store.ts'
import type { Database, TransactionOf } from '../../database/transaction.ts'
import { monotonicMs } from '../../clock.ts'

/** As given to the lease operation of the same name. */
export interface CompleterOptions extends Pick<
  LeaseOptions<never>,
  'operation' | 'leaseMs' | 'maxAttempts' | 'store' | 'retention'
> {}

/** What a completer's handler is called with: as an operation's handler, without a request. */
export interface CompleterCall<Tx> extends Omit<LeaseCall<Tx, unknown>, 'request' | 'recovery'> {
  /** What the operation's handler, or an earlier run, saved last. */
  readonly recovery: Recovery
}

/** Goes on from what the operation's handler has saved. */
export type CompleterHandler<Tx> = (call: CompleterCall<Tx>) => Promise<HandlerResponse>

/** What one run has done. */
export interface CompletionReport {
  /** Their responses are stored: their clients get them, should they come back. */
  readonly completed: number
  /** Tried again by the next run after `leaseMs`, or by the client; indeterminate once `maxAttempts` are used up. */
  readonly failed: number
}

/** Finishes what interrupted requests have begun. */
export interface Completer {
  /**
   * Takes the keys of the operation whose holder is gone, one after the other, oldest first, and only those whose handler has
   * saved how far it came. Any number of processes may run it at once: each key is given to one of them, or to its client.
   *
   * @param options - `limit`: how many unresolved keys are looked at, of all operations. Default: 1,000
   */
  runOnce(options?: { readonly limit?: number }): Promise<CompletionReport>
}

/** @throws IdempotencyError `INVALID_OPTION` */
export function createCompleter<Db extends Database, Context>(
  settings: ApplicationSettings<Db, Context>,
  options: CompleterOptions,
  handler: CompleterHandler<TransactionOf<Db>>,
): Completer {
  const lease = resolveLease(settings, { ...options, onLeaseExpired: 'resume' }, (call) =>
    handler(call as CompleterCall<TransactionOf<Db>>),
  )
  return {
    runOnce: async ({ limit = 1_000 } = {}) => {
      const report = { completed: 0, failed: 0 }
      for (const key of await lease.store.listUnresolved(limit)) {
        const isAbandoned = key.state === 'in_progress' && key.operation === options.operation && key.recovery !== null
        const claimed = isAbandoned ? await take(lease, key) : undefined
        if (claimed !== undefined) report[(await goOn(lease, key.tenant, claimed)) ? 'completed' : 'failed']++
      }
      return report
    },
  }
}

type Claimed = Extract<LeaseClaimResult, { kind: 'claimed' }>

async function take<Db extends Database, Context>(
  { store, settings, options, leaseMs, onLeaseExpired, maxAttempts }: Lease<Db, Context>,
  { tenant, keyHash, request }: UnresolvedKey,
): Promise<Claimed | undefined> {
  const claimed = await store.claim({
    tenant,
    keyHash: Buffer.from(keyHash, 'hex'),
    otherHashes: [],
    ...request,
    operation: options.operation,
    leaseMs,
    keyRetentionMs: settings.keyRetentionMs,
    onLeaseExpired,
    maxAttempts,
    keyTime: null,
  })
  if (claimed.kind !== 'claimed') return undefined
  if (claimed.recovery !== null) return claimed
  // Finished and forgotten since it was listed: what was claimed is a new key, of a request that nobody has sent.
  await store.release({ tenant, ...claimed }, 'retryable', settings)
  return undefined
}

/** @returns whether the response is stored. A failed attempt keeps its lease: the next one waits until it has run out. */
async function goOn<Db extends Database, Context>(
  lease: Lease<Db, Context>,
  tenant: string,
  claimed: Claimed,
): Promise<boolean> {
  const { settings, handler, leaseMs } = lease
  const { operation } = lease.options
  const startedMs = monotonicMs()
  settings.report({ type: 'lease.taken-over', operation, attempt: claimed.attempt })
  const running = startAttempt(settings, lease, { tenant, ...claimed }, leaseMs, undefined as Context)
  let error: unknown
  let isCompleted = false
  try {
    const result = await handler(running.call)
    isCompleted = running.committed() !== undefined
    if (!isCompleted && fateOf(result) !== 'undo') {
      await running.end()
      await running.complete(encodeResponse(result), result.resourceRef)
      isCompleted = true
    }
  } catch (thrown) {
    error = thrown
  } finally {
    await running.end()
  }
  settings.report({
    type: 'request',
    operation,
    outcome: isCompleted ? 'executed' : 'rolled-back',
    ms: monotonicMs() - startedMs,
    ...(error === undefined ? {} : { error }),
  })
  return isCompleted
}
