import type { HandlerResponse } from '../http.ts'
import type { Settings } from '../options.ts'
import { encodeResponse } from '../response.ts'
import { downstreamKey } from '../scope.ts'
import { createResponseSealer } from '../stored-response.ts'
import type { LeaseStore, UnresolvedKey } from './stores/lease-store.ts'
import { createPostgresLeaseStore } from './stores/postgres-lease-store.ts'

/** For operators: requests whose foreign effect nobody knows. Ask the foreign system, then decide. */
export interface Reconcile {
  /** Keys that are indeterminate, or whose holder is gone and whose client never came back; oldest first. */
  list(options?: { readonly limit?: number }): Promise<readonly UnresolvedKey[]>
  /** The effect happened, or must never happen: retries get this response. @returns false when the key was resolved meanwhile */
  resolve(key: Pick<UnresolvedKey, 'tenant' | 'keyHash'>, response: HandlerResponse): Promise<boolean>
  /** The effect did not happen: the next retry runs the handler, with all its attempts. @returns as `resolve` */
  retry(key: Pick<UnresolvedKey, 'tenant' | 'keyHash'>): Promise<boolean>
  /** The key a handler gave to a foreign system at `step`, for asking it what became of the call. */
  downstreamKey(key: Pick<UnresolvedKey, 'tenant' | 'keyHash'>, step: string): string
}

/** @param store - as given to the lease operation; PostgreSQL by default */
export function createReconcile(
  settings: Settings,
  store: LeaseStore = createPostgresLeaseStore(settings.db, settings),
): Reconcile {
  const seal = createResponseSealer(settings)
  const nameOf = ({
    tenant,
    keyHash,
  }: Pick<UnresolvedKey, 'tenant' | 'keyHash'>): { tenant: string; keyHash: Buffer } => ({
    tenant,
    keyHash: Buffer.from(keyHash, 'hex'),
  })
  return {
    list: ({ limit = 100 } = {}) => store.listUnresolved(limit),
    resolve: (key, response) =>
      store.resolve(nameOf(key), seal(nameOf(key), encodeResponse(response), response.resourceRef), settings),
    retry: (key) => store.resolve(nameOf(key), 'retryable', settings),
    downstreamKey: (key, step) => downstreamKey(nameOf(key).keyHash, step),
  }
}
