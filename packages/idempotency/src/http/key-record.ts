import type { Fingerprint } from './fingerprint.ts'

/** A response as it is stored. */
export interface StoredResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Sealed when `encryptionKeyId` is set. Null when there is none or it was too large to keep. */
  readonly body: Buffer | null
  /** False: the response had a body that was too large to keep. */
  readonly bodyKept: boolean
  readonly encryptionKeyId: string | null
  readonly resourceRef: string | null
}

/** What the store remembers of a key. */
export interface KeyRecord {
  /** Under which of its hashes the key is stored. 32 bytes. */
  readonly keyHash: Buffer
  readonly fingerprintVersion: number
  readonly fingerprint: Buffer
  readonly state: 'in_progress' | 'completed' | 'retryable' | 'indeterminate'
  readonly operation: string
  readonly expired: boolean
  /** Until the holder's lease runs out, in milliseconds; negative when it has. Null when nobody holds it. */
  readonly leaseMs: number | null
  readonly completedAt: Date | null
  readonly resourceRef: string | null
  readonly status: number | null
  readonly headers: Readonly<Record<string, string>>
  /** As stored: sealed when `encryptionKeyId` is set. */
  readonly body: Buffer | null
  /** False when the body has expired, or was too large to keep. */
  readonly bodyKept: boolean
  readonly encryptionKeyId: string | null
}

/** What a request meets whose key is already known. */
export type Meeting =
  | 'expired'
  | 'mismatch'
  | 'in-progress'
  | 'abandoned'
  | 'retryable'
  | 'indeterminate'
  | 'gone'
  | 'replay'

/** A meeting that ends the request without running its handler. */
export type SettledMeeting = Exclude<Meeting, 'expired' | 'retryable' | 'abandoned'>

/** Judges a request by the record of its key. Pure: everything about time was decided by the database. */
export function meet(record: KeyRecord, fingerprint: Pick<Fingerprint, 'compare'>): Meeting {
  if (record.expired) return 'expired'
  const comparison = fingerprint.compare(record)
  if (comparison === 'other') return 'mismatch'
  // Stored by a later release that runs beside this one: a retry that reaches its like will be answered.
  if (comparison === 'unknown') return 'in-progress'
  if (record.state === 'in_progress') return (record.leaseMs ?? 0) < 0 ? 'abandoned' : 'in-progress'
  if (record.state !== 'completed') return record.state
  return record.bodyKept ? 'replay' : 'gone'
}

/** A record as `claim_v1` writes it: bytes in hexadecimal digits, times in milliseconds. */
export function fromClaim(record: Record<string, unknown>): KeyRecord {
  const bytes = (value: unknown): Buffer | null => (typeof value === 'string' ? Buffer.from(value, 'hex') : null)
  const completedMs = record['completed_ms']
  return toKeyRecord({
    ...record,
    key_hash: bytes(record['key_hash']),
    fingerprint: bytes(record['fingerprint']),
    response_body: bytes(record['response_body']),
    completed_at: typeof completedMs === 'number' ? new Date(completedMs) : null,
  })
}

export function toKeyRecord(row: Record<string, unknown>): KeyRecord {
  const number = (value: unknown): number | null => (value === null || value === undefined ? null : Number(value))
  return {
    keyHash: row['key_hash'] as Buffer,
    fingerprintVersion: Number(row['fingerprint_version']),
    fingerprint: row['fingerprint'] as Buffer,
    state: row['state'] as KeyRecord['state'],
    operation: row['operation'] as string,
    expired: row['expired'] === true,
    leaseMs: number(row['lease_ms']),
    completedAt: row['completed_at'] as Date | null,
    resourceRef: row['resource_ref'] as string | null,
    status: number(row['response_status']),
    headers: (row['response_headers'] as Record<string, string> | null) ?? {},
    body: row['response_body'] as Buffer | null,
    bodyKept: row['body_kept'] === true,
    encryptionKeyId: row['encryption_key_id'] as string | null,
  }
}
