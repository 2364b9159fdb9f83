/** What an inbox tells its observer. Never a payload or a message id. */
export type InboxEvent =
  | { readonly type: 'inbox.processed' | 'inbox.in-flight' | 'inbox.stale'; readonly consumer: string }
  /** `ageMs`: how long after the first copy this one came. The largest you see is the retention you need. */
  | { readonly type: 'inbox.duplicate'; readonly consumer: string; readonly ageMs: number }
  | { readonly type: 'inbox.purged'; readonly rows: number }

/** How a request ended. */
export type RequestOutcome =
  /** The handler ran and its response is stored. */
  | 'executed'
  /** The handler ran, failed or answered with a status that is not stored, and left no effect. */
  | 'rolled-back'
  /** The stored response was sent again. */
  | 'replayed'
  /** Another request holds the key. */
  | 'in-progress'
  /** The key was used with another request. */
  | 'mismatch'
  /** An effect may have happened, a foreign one or one that the handler has committed by itself; an operator decides. */
  | 'indeterminate'
  /** The key is older than what is kept. */
  | 'expired'
  /** No key, a malformed key, or a body that cannot be fingerprinted. */
  | 'refused'
  /** The database could not answer, or lost the connection while committing. */
  | 'unavailable'

/** What the HTTP side tells its observer. Never a body, a key, a tenant or a subject. */
export type IdempotencyEvent =
  | {
      readonly type: 'request'
      readonly operation: string
      readonly outcome: RequestOutcome
      readonly ms: number
      /** Why, when something failed: the error of the handler, the database or the driver as it was thrown. */
      readonly error?: unknown
    }
  | { readonly type: 'lease.taken-over' | 'lease.lost'; readonly operation: string; readonly attempt: number }
  | { readonly type: 'keys.purged'; readonly keys: number; readonly bodies: number }
