import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'

/** Whose key it is. */
export interface KeyScope {
  readonly tenant: string
  readonly subject: string
  /** Empty when a key is unique over all operations of a subject. */
  readonly operation: string
}

/** One thing under every pepper that may have hashed it. The current one's comes first: new keys are written under it. */
export type Hashes = readonly [current: Buffer, ...others: Buffer[]]

/** Turns keys and subjects into what is stored. The pepper never reaches the database. */
export interface ScopeHasher {
  /** How many hashes it makes of one thing. */
  readonly pepperCount: number
  keyHashes(scope: KeyScope, key: string): Hashes
  subjectHashes(tenant: string, subject: string): Hashes
  /** What fingerprints are keyed with, one for each pepper, in the order of the hashes. */
  readonly fingerprintSecrets: readonly [current: KeyObject, ...others: KeyObject[]]
}

/** @param peppers - the one that new keys are hashed with, then the others that keys may have been hashed with */
export function createScopeHasher(...peppers: readonly [current: Uint8Array, ...accepted: Uint8Array[]]): ScopeHasher {
  // A key object is prepared once; the bytes of a key are, for every digest.
  const secrets = peppers.map((pepper) => createSecretKey(pepper))
  const hashes = (...parts: readonly string[]): Hashes => secrets.map((secret) => hmac(secret, ...parts)) as never
  return {
    pepperCount: peppers.length,
    keyHashes: ({ tenant, subject, operation }, key) => hashes('key 1', tenant, subject, operation, key),
    subjectHashes: (tenant, subject) => hashes('subject 1', tenant, subject),
    fingerprintSecrets: hashes('fingerprint 2').map((secret) => createSecretKey(secret)) as never,
  }
}

/**
 * A key for a foreign system: the same on every attempt, different for every step, and not traceable to the client's key.
 * Made from the stored hash alone, so that an operator can make it again whichever pepper the hash is under.
 */
export function downstreamKey(keyHash: Buffer, step: string): string {
  return hmac(keyHash, 'downstream 1', step).toString('base64url')
}

/** Each part carries its length: ("a", "bc") and ("ab", "c") must not meet. Digested at once: a digest of many pieces costs half as much again. */
function hmac(secret: KeyObject | Uint8Array, ...parts: readonly string[]): Buffer {
  const bytes = Buffer.alloc(parts.reduce((size, part) => size + 4 + Buffer.byteLength(part), 0))
  let end = 0
  for (const part of parts) {
    const length = bytes.write(part, end + 4)
    bytes.writeUInt32BE(length, end)
    end += 4 + length
  }
  return createHmac('sha256', secret).update(bytes).digest()
}

/** The advisory lock of a key. Two keys on one number wait for, or refuse, each other needlessly; they never mix up. */
export function lockNumberOf(keyHash: Buffer): string {
  return keyHash.readBigInt64BE(0).toString()
}
