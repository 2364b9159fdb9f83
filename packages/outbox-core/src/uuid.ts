import { randomFillSync } from 'node:crypto'
import type { MessageId } from './message.ts'
import { systemClock } from './clock.ts'

const pool = Buffer.alloc(4_000)
/** The pool in hexadecimal: 20 digits of it go into an id. */
let digits = ''
let used = 0
let lastMs = 0
let counter = 0
/** What ids of `lastMs` begin with: up to the version digit. */
let start = '00000000-0000-7'

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Whether the text is a UUID in the one form that is stored and compared: lower case, with hyphens. Any version. */
export function isUuid(value: string): boolean {
  return uuidPattern.test(value)
}

/**
 * Makes a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, a 12-bit counter that keeps ids of one millisecond in order
 * within this process, 62 random bits. The time is this machine's clock: good for locality, never for deciding order.
 */
export function uuidv7(nowMs: number = systemClock.wallMs()): MessageId {
  const at = freshDigits()
  if (nowMs > lastMs) {
    begin(nowMs)
    counter = Number.parseInt(digits.slice(at, at + 4), 16) & 0x7ff
  } else if (++counter > 0xfff) {
    begin(lastMs + 1)
    counter = 0
  }
  const variant = variants[Number.parseInt(digits[at + 4] as string, 16)] as string
  return `${start}${counter.toString(16).padStart(3, '0')}-${variant}${digits.slice(at + 5, at + 8)}-${digits.slice(at + 8, at + 20)}`
}

/** The two variant bits 10, then the last two bits of a random digit. */
const variants = '89ab89ab89ab89ab'

function begin(ms: number): void {
  lastMs = ms
  const time = ms.toString(16).padStart(12, '0')
  start = `${time.slice(0, 8)}-${time.slice(8)}-7`
}

/** @returns where the next 20 random digits are */
function freshDigits(): number {
  if (used + 20 > digits.length) {
    digits = randomFillSync(pool).toString('hex')
    used = 0
  }
  used += 20
  return used - 20
}
