import { describe, expect, it } from 'vitest'
import { hashToken, remembering } from '../src/api/bearer.ts'
import type { Principal } from '../src/api/tokens.ts'

/** A database of tokens that counts who asks, and a clock that is set. */
function setup() {
  const accounts = new Map<string, Principal>()
  const state = { nowMs: 0, looks: 0 }
  const lookUp = remembering(
    async (hash) => {
      state.looks++
      return accounts.get(hash.toString('hex')) ?? null
    },
    () => state.nowMs,
  )
  const open = (token: string, role: Principal['role'] = 'USER') =>
    accounts.set(hashToken(token).toString('hex'), { accountId: token, role, permissions: [] })
  return {
    open,
    close: () => accounts.clear(),
    roleOf: async (token: string) => (await lookUp(hashToken(token)))?.role,
    state,
  }
}

describe('a token that was found', () => {
  it('is looked up once in five seconds, and what has changed is seen after them', async () => {
    const { open, close, roleOf, state } = setup()
    open('anna')
    open('bruno', 'ADMIN')

    expect([await roleOf('anna'), await roleOf('bruno'), await roleOf('anna')]).toEqual(['USER', 'ADMIN', 'USER'])
    expect(state.looks).toBe(2)

    close()
    state.nowMs = 4_999
    expect(await roleOf('bruno')).toBe('ADMIN')
    state.nowMs = 5_000
    expect(await roleOf('bruno')).toBeUndefined()
    expect(state.looks).toBe(3)
  })

  it('that was unknown before is known at once', async () => {
    const { open, roleOf } = setup()

    expect(await roleOf('anna')).toBeUndefined()
    open('anna')
    expect(await roleOf('anna')).toBe('USER')
  })

  it('is forgotten rather than remembered without an end', async () => {
    const { open, roleOf, state } = setup()
    for (let n = 0; n <= 10_000; n++) open(`customer-${String(n)}`)

    for (let n = 0; n <= 10_000; n++) await roleOf(`customer-${String(n)}`)
    await roleOf('customer-10000')
    expect(state.looks).toBe(10_001)
    await roleOf('customer-0')
    expect(state.looks).toBe(10_002)
  })
})
