import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { IdempotencyError, invalidOption } from '../errors.ts'

/** Keys that stored response bodies are encrypted with, by AES-256-GCM: the one for new bodies, and those that old bodies still need. */
export interface EncryptionOptions {
  /** Id of the key new bodies are encrypted with. */
  readonly keyId: string
  /** 32-byte AES keys by id. Keep retired keys until the last body they encrypted has expired. */
  readonly keys: Readonly<Record<string, Uint8Array>>
}

/** Encrypts stored bodies. A body moved to another tenant's or another key's row does not open. */
export interface BodyCipher {
  readonly keyId: string | null
  seal(body: Uint8Array, boundTo: Uint8Array): Buffer
  /** @throws IdempotencyError `INVALID_OPTION` for an unknown key id; Error when the bytes were tampered with */
  open(sealed: Uint8Array, keyId: string | null, boundTo: Uint8Array): Buffer
}

/** AES-256-GCM with a random 96-bit nonce: `nonce || ciphertext || tag`. Without options bodies are stored as they are. */
export function createBodyCipher(options: EncryptionOptions | undefined): BodyCipher {
  for (const [id, key] of Object.entries(options?.keys ?? {}))
    if (key.length !== 32) throw invalidOption(`encryption.keys.${id}`, 'exactly 32 bytes')
  if (options !== undefined && options.keys[options.keyId] === undefined)
    throw invalidOption('encryption.keyId', 'the id of one of encryption.keys')

  function keyOf(keyId: string): Uint8Array {
    const key = options?.keys[keyId]
    if (key !== undefined) return key
    throw new IdempotencyError(
      'INVALID_OPTION',
      `a stored response is encrypted with key "${keyId}", which encryption.keys lacks: keep retired keys`,
    )
  }

  return {
    keyId: options?.keyId ?? null,
    seal: (body, boundTo) => {
      if (options === undefined) return Buffer.from(body)
      const nonce = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', keyOf(options.keyId), nonce).setAAD(boundTo)
      return Buffer.concat([nonce, cipher.update(body), cipher.final(), cipher.getAuthTag()])
    },
    open: (sealed, keyId, boundTo) => {
      if (keyId === null) return Buffer.from(sealed)
      const decipher = createDecipheriv('aes-256-gcm', keyOf(keyId), sealed.subarray(0, 12))
        .setAAD(boundTo)
        .setAuthTag(sealed.subarray(-16))
      return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()])
    },
  }
}

/** What a stored body is bound to: the row it belongs to, with the length of the tenant so that no two rows read alike. */
export function rowIdentity(tenant: string, keyHash: Uint8Array): Buffer {
  const name = Buffer.from(tenant)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(name.length)
  return Buffer.concat([length, name, keyHash])
}
