import { createHash } from 'node:crypto'
import { IdempotencyError } from '../errors.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/**
 * The 16 bytes a message is remembered by, written as a UUID: the id itself when it is one, else the first half of the
 * SHA-256 of a version label and the id. The label lets a later version change the rule and still recognise old rows.
 *
 * @throws IdempotencyError `INVALID_MESSAGE` for an empty id
 */
export function messageIdentity(messageId: string): string {
  if (typeof messageId !== 'string' || messageId === '')
    throw new IdempotencyError('INVALID_MESSAGE', 'a message without an id cannot be applied once: pass its event id')
  const id = messageId.toLowerCase()
  if (uuid.test(id)) return id
  const hex = createHash('sha256').update(`malote inbox 1\n${messageId}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`
}

/** A number for an advisory lock, as text because a JavaScript number cannot hold 64 bits. */
export function lockNumber(...parts: readonly string[]): string {
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest()
  return digest.readBigInt64BE(0).toString()
}
