import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { ConformanceCase } from '@malote/outbox-core/testing'
import type { KeyRecord, StoredResponse } from '../../http/key-record.ts'
import type {
  LeasedKey,
  LeaseClaim,
  LeaseClaimResult,
  LeaseStore,
  Retention,
} from '../../http/lease/stores/lease-store.ts'

/** How the kit reaches a store on a real server. Every case uses keys of its own. */
export interface LeaseStoreHarness {
  /** A store; another one each time, as another process would have it. */
  createStore(): Promise<LeaseStore>
  /** Lets `ms` pass by the store's clock: waits, or turns the store's clock. */
  elapse(ms: number): Promise<void>
  /** Shortest lease that the cases may use, in milliseconds. @defaultValue 50 */
  readonly shortLeaseMs?: number
}

export type Case = ConformanceCase<LeaseStoreHarness>
export type Claimed = Extract<LeaseClaimResult, { kind: 'claimed' }>

export const retention: Retention = { bodyRetentionMs: 60_000, keyRetentionMs: 120_000 }
export const response: StoredResponse = {
  status: 201,
  headers: { location: '/orders/1', 'content-type': 'application/json' },
  body: Buffer.from([0, 255, 123]),
  bodyKept: true,
  encryptionKeyId: null,
  resourceRef: 'order-1',
}

export function aClaim(change: Partial<LeaseClaim> = {}): LeaseClaim {
  return {
    tenant: 'acme',
    keyHash: randomBytes(32),
    otherHashes: [],
    subjectHash: randomBytes(32),
    fingerprintVersion: 1,
    fingerprint: randomBytes(32),
    operation: 'createOrder',
    leaseMs: 60_000,
    keyRetentionMs: retention.keyRetentionMs,
    onLeaseExpired: 'resume',
    maxAttempts: 5,
    keyTime: null,
    ...change,
  }
}

/** @throws AssertionError when the store did not give the key */
export async function claimed(store: LeaseStore, claim: LeaseClaim): Promise<Claimed & LeasedKey> {
  const result = await store.claim(claim)
  assert.equal(result.kind, 'claimed', `claim answered ${result.kind}`)
  return { ...result, tenant: claim.tenant }
}

/** @throws AssertionError when the store gave the key */
export async function known(store: LeaseStore, claim: LeaseClaim): Promise<KeyRecord> {
  const result = await store.claim(claim)
  assert.equal(result.kind, 'known', `claim answered ${result.kind}`)
  return result.record
}

export function shortClaim(harness: LeaseStoreHarness, change: Partial<LeaseClaim> = {}): LeaseClaim {
  return aClaim({ leaseMs: harness.shortLeaseMs ?? 50, ...change })
}

export const expire = (harness: LeaseStoreHarness): Promise<void> => harness.elapse((harness.shortLeaseMs ?? 50) * 2)
