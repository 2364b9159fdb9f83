import type { KeyRecord, StoredResponse } from '../src/http/key-record.ts'
import type { LeaseClaim, LeaseExpiryPolicy, Retention } from '../src/http/lease/stores/lease-store.ts'

/** More than a claim may have of attempts, so that histories run out of them. */
export const maxAttempts = 4
export const policies = ['hold', 'resume', 'retry'] as const

export const storedResponse: StoredResponse = {
  status: 200,
  headers: {},
  body: null,
  bodyKept: true,
  encryptionKeyId: null,
  resourceRef: null,
}

/** A claim of the same request on a key. */
export function aClaim(policy: LeaseExpiryPolicy, keyHash: Buffer, times: Retention & { leaseMs: number }): LeaseClaim {
  return {
    tenant: 'acme',
    keyHash,
    otherHashes: [],
    subjectHash: Buffer.alloc(32, 1),
    fingerprintVersion: 1,
    fingerprint: Buffer.alloc(32, 2),
    operation: 'buy',
    leaseMs: times.leaseMs,
    keyRetentionMs: times.keyRetentionMs,
    onLeaseExpired: policy,
    maxAttempts,
    keyTime: null,
  }
}

/** The rules of lease mode in the fewest words: what a store is compared with. */
export class LeaseModel {
  state: KeyRecord['state'] | 'absent' = 'absent'
  attempt = 0
  /** Whether the lease has run out. */
  expired = false
  /** The process whose fence is current; null when nobody's is. */
  owner: number | null = null
  /** In this life of the key: until it expires and is absent again. */
  completions = 0
  readonly #policy: LeaseExpiryPolicy

  constructor(policy: LeaseExpiryPolicy) {
    this.#policy = policy
  }

  claim(process: number): boolean {
    if (this.state === 'absent') return this.#give(process, 1)
    const free = this.state === 'retryable' || (this.state === 'in_progress' && this.expired)
    if (!free) return false
    if ((this.state === 'retryable' || this.#policy !== 'hold') && this.attempt < maxAttempts)
      return this.#give(process, this.attempt + 1)
    return this.#end('indeterminate', false)
  }

  asOwner(process: number, change: 'renew' | 'complete' | 'retryable' | 'indeterminate'): boolean {
    if (this.state !== 'in_progress' || this.owner !== process) return false
    if (change === 'renew') this.expired = false
    else this.#end(change === 'complete' ? 'completed' : change, true)
    return true
  }

  operator(decision: 'completed' | 'retryable'): boolean {
    if (this.state !== 'indeterminate' && !(this.state === 'in_progress' && this.expired)) return false
    if (decision === 'retryable') this.attempt = 0
    return this.#end(decision, true)
  }

  /** Everything about the key is forgotten. */
  forget(): void {
    Object.assign(this, { state: 'absent', owner: null, expired: false, attempt: 0, completions: 0 })
  }

  #give(process: number, attempt: number): boolean {
    Object.assign(this, { state: 'in_progress', owner: process, attempt, expired: false })
    return true
  }

  #end(state: KeyRecord['state'], answer: boolean): boolean {
    if (state === 'completed') this.completions++
    Object.assign(this, { state, owner: null, expired: false })
    return answer
  }
}
