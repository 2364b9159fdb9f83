import type { KeyRecord, StoredResponse } from '../../key-record.ts'
import type { LeasedKey, KeyName, LeaseClaim, Recovery, Retention, UnresolvedKey } from './lease-store.ts'

/** Between which instants the store's own clock stands, in milliseconds since 1970. Equal where the store tells exactly. */
export interface ClockReading {
  readonly earliestMs: number
  readonly latestMs: number
}

/** Everything about a key, as one JSON document. Instants are the store's, in milliseconds since 1970. */
export interface LeaseDocument {
  readonly tenant: string
  /** Hexadecimal. */
  readonly keyHash: string
  /** Hexadecimal: for erasure by subject. */
  readonly subjectHash: string
  /** Rises with every write: a write names the revision it has read. */
  readonly revision: number
  /**
   * Hexadecimal: the key is not here but under this other hash of it, and so is whoever looks for it here. What stands in
   * the other fields of such a document means nothing, but for its end.
   */
  readonly movedTo?: string
  readonly fence: number
  /** Drawn by the call of `claim` that took it last: a call that lost its answer knows its own work by it. */
  readonly claimId?: string
  readonly fingerprintVersion: number
  /** Hexadecimal. */
  readonly fingerprint: string
  readonly operation: string
  readonly state: KeyRecord['state']
  readonly attempt: number
  readonly createdAtMs: number
  /** Set while in progress. */
  readonly leaseUntilMs: number | null
  /** How long the lease was when it was last given. */
  readonly leaseMs: number
  readonly recovery: Recovery | null
  /** Set once completed. The body is base64. */
  readonly response: (Omit<StoredResponse, 'body'> & { readonly body: string | null }) | null
  readonly completedAtMs: number | null
  readonly bodyExpiresAtMs: number | null
  /** Null: never, because nobody knows yet what became of it. */
  readonly expiresAtMs: number | null
}

/** What a claim makes of a key, decided from what was read. Pure. */
export type ClaimDecision =
  | { readonly kind: 'take'; readonly next: LeaseDocument; readonly takenOver: boolean }
  | { readonly kind: 'give-up'; readonly next: LeaseDocument }
  | { readonly kind: 'known' }
  | { readonly kind: 'too-old' }

export function decideClaim(document: LeaseDocument | null, claim: LeaseClaim, clock: ClockReading): ClaimDecision {
  if (document === null || isExpired(document, clock)) {
    const oldestMs = clock.earliestMs - claim.keyRetentionMs
    if (claim.keyTime !== null && claim.keyTime.getTime() < oldestMs) return { kind: 'too-old' }
    return { kind: 'take', next: firstDocument(document, claim, clock), takenOver: false }
  }
  // The caller does not know the hash it has moved to. Nobody may run it from here.
  if (document.movedTo !== undefined) return { kind: 'known' }
  const isSame =
    document.fingerprintVersion === claim.fingerprintVersion &&
    document.fingerprint === claim.fingerprint.toString('hex')
  const ranOut = hasRunOut(document, clock)
  if (!isSame || (document.state !== 'retryable' && !ranOut)) return { kind: 'known' }
  const mayGoOn = document.state === 'retryable' || claim.onLeaseExpired !== 'hold'
  if (!mayGoOn || document.attempt >= claim.maxAttempts) {
    const changed = {
      state: 'indeterminate',
      leaseUntilMs: null,
      fence: document.fence + 1,
      expiresAtMs: null,
    } as const
    return { kind: 'give-up', next: successor(document, changed) }
  }
  const next = successor(document, {
    state: 'in_progress',
    fence: document.fence + 1,
    attempt: document.attempt + 1,
    ...leaseFrom(clock, claim.leaseMs),
    expiresAtMs: null,
  })
  return { kind: 'take', next, takenOver: ranOut }
}

/** Sends everybody who looks for a key here to another hash of it, for as long as the key can be remembered. */
export function signpost(
  here: { readonly keyHash: Buffer; readonly document: LeaseDocument | null; readonly clock: ClockReading },
  movedTo: Buffer,
  claim: LeaseClaim,
): LeaseDocument {
  return {
    ...firstDocument(here.document, { ...claim, keyHash: here.keyHash }, here.clock),
    movedTo: movedTo.toString('hex'),
    state: 'retryable',
    leaseUntilMs: null,
    expiresAtMs: here.clock.latestMs + claim.keyRetentionMs,
  }
}

function firstDocument(former: LeaseDocument | null, claim: LeaseClaim, clock: ClockReading): LeaseDocument {
  return {
    tenant: claim.tenant,
    keyHash: claim.keyHash.toString('hex'),
    subjectHash: claim.subjectHash.toString('hex'),
    revision: (former?.revision ?? 0) + 1,
    fence: (former?.fence ?? 0) + 1,
    fingerprintVersion: claim.fingerprintVersion,
    fingerprint: claim.fingerprint.toString('hex'),
    operation: claim.operation,
    state: 'in_progress',
    attempt: 1,
    createdAtMs: clock.earliestMs,
    ...leaseFrom(clock, claim.leaseMs),
    recovery: null,
    response: null,
    completedAtMs: null,
    bodyExpiresAtMs: null,
    expiresAtMs: null,
  }
}

/** A lease that begins now: it ends late rather than early. */
export function leaseFrom(clock: ClockReading, leaseMs: number): Pick<LeaseDocument, 'leaseUntilMs' | 'leaseMs'> {
  return { leaseUntilMs: clock.latestMs + leaseMs, leaseMs }
}

/** The next revision. */
export function successor(document: LeaseDocument, change: Partial<LeaseDocument>): LeaseDocument {
  return { ...document, ...change, revision: document.revision + 1 }
}

/** Whether the caller still holds the key. */
export function isHeldBy(document: LeaseDocument | null, held: LeasedKey): document is LeaseDocument {
  return document !== null && document.state === 'in_progress' && document.fence === held.fence
}

export function completed(response: StoredResponse, retention: Retention, clock: ClockReading): Partial<LeaseDocument> {
  return {
    state: 'completed',
    leaseUntilMs: null,
    response: { ...response, body: response.body?.toString('base64') ?? null },
    completedAtMs: clock.earliestMs,
    bodyExpiresAtMs: clock.latestMs + retention.bodyRetentionMs,
    expiresAtMs: clock.latestMs + retention.keyRetentionMs,
  }
}

/** Indeterminate, or abandoned by its holder: an operator may decide. */
export function isUnresolved(document: LeaseDocument, clock: ClockReading): boolean {
  return document.state === 'indeterminate' || hasRunOut(document, clock)
}

/** Judged late rather than early: a lease that may still run is not taken. */
function hasRunOut(document: LeaseDocument, clock: ClockReading): boolean {
  return document.leaseUntilMs !== null && document.leaseUntilMs < clock.earliestMs
}

export function isExpired(document: LeaseDocument, clock: ClockReading): boolean {
  return document.expiresAtMs !== null && document.expiresAtMs < clock.earliestMs
}

/** Two readers may know the clock differently well: never more than the lease was, and not negative while it may still run. */
function remainingMs(document: LeaseDocument, clock: ClockReading): number | null {
  if (document.leaseUntilMs === null) return null
  const leftMs = document.leaseUntilMs - clock.latestMs
  return hasRunOut(document, clock) ? Math.min(leftMs, -1) : Math.min(Math.max(leftMs, 1), document.leaseMs)
}

export function toKeyRecord(document: LeaseDocument, clock: ClockReading): KeyRecord {
  const { response } = document
  const hasBody = response !== null && (document.bodyExpiresAtMs ?? 0) >= clock.earliestMs
  return {
    keyHash: Buffer.from(document.keyHash, 'hex'),
    fingerprintVersion: document.fingerprintVersion,
    fingerprint: Buffer.from(document.fingerprint, 'hex'),
    state: document.state,
    operation: document.operation,
    expired: isExpired(document, clock),
    leaseMs: remainingMs(document, clock),
    completedAt: document.completedAtMs === null ? null : new Date(document.completedAtMs),
    resourceRef: response?.resourceRef ?? null,
    status: response?.status ?? null,
    headers: response?.headers ?? {},
    body: hasBody && response.body !== null ? Buffer.from(response.body, 'base64') : null,
    bodyKept: hasBody && response.bodyKept,
    encryptionKeyId: response?.encryptionKeyId ?? null,
  }
}

export function toUnresolvedKey(document: LeaseDocument): UnresolvedKey {
  return {
    tenant: document.tenant,
    keyHash: document.keyHash,
    operation: document.operation,
    state: document.state === 'indeterminate' ? 'indeterminate' : 'in_progress',
    attempt: document.attempt,
    createdAt: new Date(document.createdAtMs),
    recovery: document.recovery,
    request: {
      subjectHash: Buffer.from(document.subjectHash, 'hex'),
      fingerprintVersion: document.fingerprintVersion,
      fingerprint: Buffer.from(document.fingerprint, 'hex'),
    },
  }
}

/** A name for the key that no other tenant's key can have: the tenant is encoded, so that no separator can be smuggled in. */
export function documentName({ tenant, keyHash }: KeyName): { readonly tenant: string; readonly keyHash: string } {
  return { tenant: Buffer.from(tenant).toString('base64url'), keyHash: keyHash.toString('hex') }
}
