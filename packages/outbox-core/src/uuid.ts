import { randomFillSync } from 'node:crypto'
import type { MessageId } from './message.ts'

const pool = new Uint8Array(4096)
let used = pool.length
let lastMs = 0
let counter = 0

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export function isUuid(value: string): boolean {
  return uuidPattern.test(value)
}

/**
 * Makes a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, a 12-bit counter that keeps ids of one millisecond in order
 * within this process, 62 random bits. The time is this machine's clock: good for locality, never for deciding order.
 */
export function uuidv7(nowMs: number = Date.now()): MessageId {
  const random = tenRandomBytes()
  if (nowMs > lastMs) {
    lastMs = nowMs
    counter = random.readUInt16BE(0) & 0x7ff
  } else if (++counter > 0xfff) {
    lastMs++
    counter = 0
  }
  const time = lastMs.toString(16).padStart(12, '0')
  const low = random.toString('hex', 2, 10)
  const variant = ((random[2] ?? 0) & 0x3f) | 0x80
  return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, '0')}-${variant.toString(16)}${low.slice(2, 4)}-${low.slice(4)}`
}

function tenRandomBytes(): Buffer {
  if (used + 10 > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += 10
  return Buffer.from(pool.buffer, used - 10, 10)
}
