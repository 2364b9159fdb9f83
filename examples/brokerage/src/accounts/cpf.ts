import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

/** Keeps a taxpayer's number (CPF) unreadable in the database: AES-256-GCM, bound to the account it belongs to. */
export interface CpfCipher {
  /** @throws Error when it is not a CPF: eleven digits whose last two check the others. The number is not in the message. */
  encrypt(accountId: string, cpf: string): Buffer
  /** @throws Error when it was changed, moved to another account, or encrypted under another key */
  decrypt(accountId: string, encrypted: Buffer): string
}

const nonceBytes = 12
const tagBytes = 16

/** @param secret - at least 16 characters; the key is derived from it */
export function createCpfCipher(secret: string): CpfCipher {
  if (secret.length < 16) throw new Error('the CPF secret has less than 16 characters')
  const key = createHash('sha256').update(`cpf ${secret}`).digest()
  return {
    encrypt: (accountId, cpf) => {
      if (!isCpf(cpf)) throw new Error(`account ${accountId} has no valid CPF`)
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(accountId))
      const text = Buffer.concat([cipher.update(cpf, 'utf8'), cipher.final()])
      return Buffer.concat([nonce, cipher.getAuthTag(), text])
    },
    decrypt: (accountId, encrypted) => {
      const decipher = createDecipheriv('aes-256-gcm', key, encrypted.subarray(0, nonceBytes))
        .setAAD(Buffer.from(accountId))
        .setAuthTag(encrypted.subarray(nonceBytes, nonceBytes + tagBytes))
      return Buffer.concat([decipher.update(encrypted.subarray(nonceBytes + tagBytes)), decipher.final()]).toString()
    },
  }
}

/** `***.***.789-09`: enough to recognise one's own. */
export function maskCpf(cpf: string): string {
  return `***.***.${cpf.slice(6, 9)}-${cpf.slice(9)}`
}

export function isCpf(text: string): boolean {
  if (!/^\d{11}$/.test(text) || /^(\d)\1*$/.test(text)) return false
  const digits = Array.from(text, Number)
  return checkDigit(digits.slice(0, 9)) === digits[9] && checkDigit(digits.slice(0, 10)) === digits[10]
}

/** The CPF that nine digits make. */
export function cpfOf(nine: string): string {
  const digits = Array.from(nine, Number)
  const first = checkDigit(digits)
  return `${nine}${String(first)}${String(checkDigit([...digits, first]))}`
}

function checkDigit(digits: readonly number[]): number {
  const sum = digits.reduce((total, digit, at) => total + digit * (digits.length + 1 - at), 0)
  return ((sum * 10) % 11) % 10
}
