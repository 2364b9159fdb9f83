import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { type ConsoleAccess, createGuard, type Purpose } from '../../src/console/guard.ts'

const token = 'a-token-of-some-length'

/** What is answered to a request with these headers: 'in', or the refusal's code. */
async function admit(
  access: ConsoleAccess,
  headers: Record<string, string>,
  purpose: Purpose = 'look',
  hosts?: readonly string[],
): Promise<string> {
  const request = new Request('http://127.0.0.1:9465/', { headers })
  const admission = await createGuard(access, hosts).admit(request, purpose)
  return 'refusal' in admission ? admission.refusal.code : 'in'
}

describe('on loopback without a login', () => {
  it.each([
    ['127.0.0.1:9465', 'in'],
    ['localhost:9465', 'in'],
    ['[::1]:9465', 'in'],
    ['localhost', 'in'],
    ['rebound.example.com:9465', 'HOST_REFUSED'],
    ['localhost.example.com', 'HOST_REFUSED'],
    ['127.0.0.1.example.com', 'HOST_REFUSED'],
    ['10.0.0.7:9465', 'HOST_REFUSED'],
    ['user@localhost@example.com', 'HOST_REFUSED'],
    ['', 'HOST_REFUSED'],
  ])('a request to host %s is answered %s, whatever it asks for', async (host, answer) => {
    for (const purpose of ['file', 'look', 'act'] as const)
      expect(await admit('loopback', { host, origin: `http://${host}` }, purpose)).toBe(answer)
  })

  it.each([
    ['http://127.0.0.1:9465', 'in'],
    ['http://127.0.0.1:3000', 'ORIGIN_REFUSED'],
    ['http://localhost:9465', 'ORIGIN_REFUSED'],
    ['https://evil.example.com', 'ORIGIN_REFUSED'],
    ['null', 'ORIGIN_REFUSED'],
  ])('a page of %s is answered %s', async (origin, answer) => {
    for (const purpose of ['look', 'act'] as const)
      expect(await admit('loopback', { host: '127.0.0.1:9465', origin }, purpose)).toBe(answer)
  })

  it('a decision must say which page it comes from, and no other site may ask even where the origin is left out', async () => {
    const host = '127.0.0.1:9465'

    expect(await admit('loopback', { host }, 'act')).toBe('ORIGIN_REFUSED')
    expect(await admit('loopback', { host }, 'look')).toBe('in')
    expect(await admit('loopback', { host, 'sec-fetch-site': 'same-site' }, 'look')).toBe('ORIGIN_REFUSED')
    expect(await admit('loopback', { host, 'sec-fetch-site': 'cross-site' }, 'look')).toBe('ORIGIN_REFUSED')
    expect(await admit('loopback', { host, 'sec-fetch-site': 'same-origin' }, 'look')).toBe('in')
  })

  it.each(['x-forwarded-for', 'forwarded', 'via'])(
    'a request that a proxy passed on (%s) needs a token',
    async (name) => {
      expect(await admit('loopback', { host: 'localhost', [name]: 'x' })).toBe('PROXY_REFUSED')
    },
  )
})

describe('with a token', () => {
  it.each([
    [`Bearer ${token}`, 'in'],
    [`bearer ${token}`, 'in'],
    [`Bearer ${token}x`, 'TOKEN_NEEDED'],
    [`Bearer ${token.slice(1)}`, 'TOKEN_NEEDED'],
    ['Bearer ', 'TOKEN_NEEDED'],
    [`Basic ${token}`, 'TOKEN_NEEDED'],
  ])('"%s" is answered %s', async (authorization, answer) => {
    expect(await admit({ token }, { host: 'ops.example.com', authorization })).toBe(answer)
    expect(await admit({ token }, { host: 'ops.example.com' })).toBe('TOKEN_NEEDED')
  })

  it('the page itself is given, for it asks for the token', async () => {
    expect(await admit({ token }, { host: 'ops.example.com' }, 'file')).toBe('in')
  })

  it('another site is refused with the right token too, and so is a host that is not listed', async () => {
    const given = { host: 'ops.example.com', authorization: `Bearer ${token}` }

    expect(await admit({ token }, { ...given, origin: 'https://evil.example.com' }, 'act')).toBe('ORIGIN_REFUSED')
    expect(await admit({ token }, { ...given, origin: 'https://ops.example.com' }, 'act')).toBe('in')
    expect(await admit({ token }, given, 'look', ['ops.example.com'])).toBe('in')
    expect(await admit({ token }, given, 'look', ['other.example.com'])).toBe('HOST_REFUSED')
  })

  it('a short one is refused at once, and is not in the words', () => {
    expect(() => createGuard({ token: 'hunter2' }, undefined)).toThrow(/16 characters/)
    expect(() => createGuard({ token: 'hunter2' }, undefined)).not.toThrow(/hunter2/)
    expect(() => createGuard(undefined as never, undefined)).toThrow(/"access"/)
  })
})

describe('with the login of an application', () => {
  it('who is not logged in gets nothing, not even the page', async () => {
    expect(await admit({ authenticate: () => null }, { host: 'x.example.com' }, 'file')).toBe('NOT_AUTHENTICATED')
    expect(await admit({ authenticate: async () => 'ana' }, { host: 'x.example.com' }, 'file')).toBe('in')
  })

  it('that fails nobody is let in, nor told why: that is a warning of the process', async () => {
    const warned = once(process, 'warning')
    const authenticate = (): never => {
      throw new Error('no answer from sessions.internal')
    }
    const guard = createGuard({ authenticate }, undefined)

    const admission = await guard.admit(new Request('http://x.example.com/'), 'look')

    expect(admission).toEqual({
      refusal: { status: 503, code: 'LOGIN_FAILED', detail: 'the login of the application does not work' },
    })
    expect(String(await warned)).toContain('no answer from sessions.internal')
  })
})
