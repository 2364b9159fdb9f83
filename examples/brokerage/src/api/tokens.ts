import { createHash, createSecretKey, type KeyObject, randomUUID } from 'node:crypto'
import { importPKCS8, importSPKI, jwtVerify, SignJWT } from 'jose'

export type Role = 'USER' | 'ADMIN'

/** Who a request comes from. */
export interface Principal {
  readonly accountId: string
  readonly role: Role
  readonly permissions: readonly string[]
}

/** What each role may do. */
export const permissionsOf: Readonly<Record<Role, readonly string[]>> = {
  USER: ['orders:place', 'orders:read', 'orders:cancel', 'balance:read'],
  ADMIN: ['orders:read', 'orders:read-all', 'orders:decide', 'audit:read', 'operations'],
}

/** Five hours, and seven days. */
const accessSeconds = 5 * 3_600
const refreshSeconds = 7 * 86_400
const issuer = 'brokerage'

export interface TokenPair {
  readonly accessToken: string
  readonly refreshToken: string
  readonly tokenType: 'Bearer'
  /** Seconds until the access token expires. */
  readonly expiresIn: number
}

export interface Tokens {
  issue(accountId: string, role: Role): Promise<TokenPair>
  /** @returns null for a token that is not ours, expired, or of the other kind */
  verify(token: string, use: 'access' | 'refresh'): Promise<Principal | null>
}

export interface TokenKeys {
  /** HS256: one secret signs and verifies. */
  readonly secret?: string | undefined
  /** RS256: PEM of the private key (PKCS #8) and of the public key (SPKI). Given, `secret` is not used. */
  readonly privateKey?: string | undefined
  readonly publicKey?: string | undefined
}

/** @throws Error when there is neither a secret of 16 characters nor a pair of keys */
export async function createTokens(keys: TokenKeys): Promise<Tokens> {
  const { algorithm, sign, check } = await signingKeys(keys)
  const make = (accountId: string, role: Role, use: string, seconds: number): Promise<string> =>
    new SignJWT({ role, use, permissions: permissionsOf[role] })
      .setProtectedHeader({ alg: algorithm })
      .setSubject(accountId)
      .setIssuer(issuer)
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime(`${String(seconds)}s`)
      .sign(sign)
  return {
    issue: async (accountId, role) => ({
      accessToken: await make(accountId, role, 'access', accessSeconds),
      refreshToken: await make(accountId, role, 'refresh', refreshSeconds),
      tokenType: 'Bearer',
      expiresIn: accessSeconds,
    }),
    verify: async (token, use) => {
      try {
        const { payload } = await jwtVerify(token, check, { issuer, algorithms: [algorithm] })
        const role = payload['role']
        if (payload['use'] !== use || payload.sub === undefined || (role !== 'USER' && role !== 'ADMIN')) return null
        return { accountId: payload.sub, role, permissions: permissionsOf[role] }
      } catch {
        return null // Expired, forged or no token of ours: all the same to whoever sent it.
      }
    },
  }
}

async function signingKeys({ secret, privateKey, publicKey }: TokenKeys) {
  if (privateKey !== undefined && publicKey !== undefined) {
    const [sign, check] = await Promise.all([importPKCS8(privateKey, 'RS256'), importSPKI(publicKey, 'RS256')])
    return { algorithm: 'RS256', sign, check }
  }
  if (secret === undefined || secret.length < 16)
    throw new Error('tokens need JWT_SECRET of at least 16 characters, or JWT_PRIVATE_KEY and JWT_PUBLIC_KEY')
  // A KeyObject is made once; a secret as bytes would be imported for each token.
  const key: KeyObject = createSecretKey(createHash('sha256').update(`jwt ${secret}`).digest())
  return { algorithm: 'HS256', sign: key, check: key }
}
