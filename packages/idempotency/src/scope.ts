import { createHmac } from 'node:crypto'

/** Whose key it is. */
export interface KeyScope {
  readonly tenant: string
  readonly subject: string
  /** Empty when a key is unique over all operations of a subject. */
  readonly operation: string
}

/** Turns keys and subjects into what is stored. The pepper never reaches the database. */
export interface ScopeHasher {
  keyHash(scope: KeyScope, key: string): Buffer
  subjectHash(tenant: string, subject: string): Buffer
  /** A key for a foreign system: the same on every attempt, different for every step, and not traceable to the client's key. */
  downstreamKey(keyHash: Buffer, step: string): string
}

export function createScopeHasher(pepper: Uint8Array): ScopeHasher {
  // Each part carries its length: ("a", "bc") and ("ab", "c") must not meet.
  const hmac = (label: string, ...parts: readonly (string | Uint8Array)[]): Buffer => {
    const hash = createHmac('sha256', pepper)
    for (const part of [label, ...parts]) {
      const bytes = typeof part === 'string' ? Buffer.from(part) : part
      const length = Buffer.alloc(4)
      length.writeUInt32BE(bytes.length)
      hash.update(length).update(bytes)
    }
    return hash.digest()
  }
  return {
    keyHash: ({ tenant, subject, operation }, key) => hmac('key 1', tenant, subject, operation, key),
    subjectHash: (tenant, subject) => hmac('subject 1', tenant, subject),
    downstreamKey: (keyHash, step) => hmac('downstream 1', keyHash, step).toString('base64url'),
  }
}

/** The advisory lock of a key. Two keys on one number wait for, or refuse, each other needlessly; they never mix up. */
export function lockNumberOf(keyHash: Buffer): string {
  return keyHash.readBigInt64BE(0).toString()
}
