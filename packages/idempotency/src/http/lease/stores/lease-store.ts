import type { KeyRecord, StoredResponse } from '../../key-record.ts'

/** Which key, as every method names it. */
export interface KeyName {
  readonly tenant: string
  /** 32 bytes. */
  readonly keyHash: Buffer
}

/** A key this process works on, as long as nobody else has a higher fence. */
export interface LeasedKey extends KeyName {
  /** Rises with every claim, take-over and resolution of the key. */
  readonly fence: number
}

/** What a handler knew when it last said so, kept over attempts. */
export interface Recovery {
  readonly point: string
  /** JSON. */
  readonly data: unknown
}

/** What happens to a key whose holder's lease has run out. `hold`: indeterminate. Others: taken over. */
export type LeaseExpiryPolicy = 'hold' | 'resume' | 'retry'

/** Everything a store needs to claim a key, or to say that somebody has it. For those who write a store of their own. */
export interface LeaseClaim extends KeyName {
  /**
   * What the key may be known by besides `keyHash`: its hashes under other peppers, empty unless one is being replaced.
   * Another process may claim the same key with the same hashes and another one of them as `keyHash`.
   */
  readonly otherHashes: readonly Buffer[]
  /** 32 bytes. */
  readonly subjectHash: Buffer
  readonly fingerprintVersion: number
  /** 32 bytes. */
  readonly fingerprint: Buffer
  readonly operation: string
  readonly leaseMs: number
  readonly keyRetentionMs: number
  readonly onLeaseExpired: LeaseExpiryPolicy
  /** An attempt beyond this makes the key indeterminate instead. */
  readonly maxAttempts: number
  /** The key's own time when age is checked, else null: an absent key older than the retention is not claimed. */
  readonly keyTime: Date | null
}

/** What a store answers to a claim: the key is the caller's now, or it is known already, and then how it stands. */
export type LeaseClaimResult =
  | {
      readonly kind: 'claimed'
      /** Under which of its hashes the key is, and stays: name it by this one. */
      readonly keyHash: Buffer
      readonly fence: number
      /** 1 on the first attempt. */
      readonly attempt: number
      readonly recovery: Recovery | null
      /** Whether an earlier holder's lease had run out. */
      readonly takenOver: boolean
    }
  /** Somebody holds it, or it is finished, or nobody may go on; `record.leaseMs` says for how long it is held. */
  | { readonly kind: 'known'; readonly record: KeyRecord }
  | { readonly kind: 'too-old' }

/** A key that needs an operator: indeterminate, or its holder's lease ran out and nobody came back. */
export interface UnresolvedKey {
  readonly tenant: string
  /** Hexadecimal. */
  readonly keyHash: string
  readonly operation: string
  readonly state: 'in_progress' | 'indeterminate'
  readonly attempt: number
  readonly createdAt: Date
  readonly recovery: Recovery | null
  /** What its request was digested to: to go on with the key is to claim it with these. */
  readonly request: Pick<LeaseClaim, 'subjectHash' | 'fingerprintVersion' | 'fingerprint'>
}

/** How long a store keeps what it is given, in milliseconds from the moment the key is finished. For those who write a store of their own. */
export interface Retention {
  readonly bodyRetentionMs: number
  readonly keyRetentionMs: number
}

/**
 * Where the keys of lease mode live. Every method is one atomic step; every method that takes a `LeasedKey` changes nothing
 * and answers false unless its fence is the key's current one and the key is in progress. The store's own clock decides
 * whether a lease or a key has expired; a caller's clock never enters.
 *
 * Methods reject only when the store cannot be reached or is misused; a rejected call may have happened or not.
 */
export interface LeaseStore {
  readonly name: string

  /**
   * Takes the key if it is absent, expired, or retryable, or if its lease has run out and the policy lets it be taken over
   * (`attempt` + 1, `fence` + 1, recovery kept). Of any number of callers at once exactly one is given it. A key with another
   * fingerprint, or another fingerprint version, is never taken or changed. With `hold`, or when `maxAttempts` are used up,
   * a key whose lease has run out (or that is retryable with no attempts left) becomes indeterminate, and is answered as `known`.
   *
   * A key that is known under any of its hashes goes on under that one. One that is absent under all of them is created
   * under `keyHash` (or where it was before, if the store still knows). All of this holds among callers that name the
   * same hashes in different roles, too: together they have one key, and one of them is given it.
   */
  claim(claim: LeaseClaim): Promise<LeaseClaimResult>

  /** Moves the end of the lease to `leaseMs` from now; 0 ends it. Works on a lease that has run out as long as nobody took it. */
  renew(held: LeasedKey, leaseMs: number): Promise<boolean>

  /** Remembers how far the holder has come. */
  saveRecovery(held: LeasedKey, recovery: Recovery): Promise<boolean>

  /** Stores the response, for good: a completed key is never changed again until it expires. */
  complete(held: LeasedKey, response: StoredResponse, retention: Retention): Promise<boolean>

  /** Ends an attempt without a response. `retryable`: the next claim takes it at once. `indeterminate`: nobody may. */
  release(held: LeasedKey, state: 'retryable' | 'indeterminate', retention: Retention): Promise<boolean>

  /** Keys that need an operator, oldest first. */
  listUnresolved(limit: number): Promise<readonly UnresolvedKey[]>

  /**
   * An operator's decision on an unresolved key: its response, or `retryable` when the operator knows that nothing
   * happened: the next claim takes it, as attempt 1. Raises the fence. False when the key is not unresolved (any more).
   */
  resolve(key: KeyName, decision: StoredResponse | 'retryable', retention: Retention): Promise<boolean>
}
