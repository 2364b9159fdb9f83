import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

const derive = promisify(scrypt) as (password: string, salt: Buffer, bytes: number) => Promise<Buffer>
const saltBytes = 16
const hashBytes = 32

/** Salt and scrypt hash, in one value. */
export async function hashPassword(password: string): Promise<Buffer> {
  const salt = randomBytes(saltBytes)
  return Buffer.concat([salt, await derive(password, salt, hashBytes)])
}

/** Takes as long for an account that does not exist (null) as for a wrong password. */
export async function isPassword(password: string, stored: Buffer | null): Promise<boolean> {
  const known = stored ?? Buffer.alloc(saltBytes + hashBytes)
  const hash = await derive(password, known.subarray(0, saltBytes), hashBytes)
  return timingSafeEqual(hash, known.subarray(saltBytes)) && stored !== null
}
