import { createHash, timingSafeEqual } from 'node:crypto'
import { invalidOption } from '../options.ts'
import type { Refusal } from './answers.ts'

/**
 * Who may look.
 *
 * `'loopback'`: everybody who reaches it, for a server that listens on loopback only. Each request must name a loopback host
 * and come without a proxy. That keeps out web pages that rebind their name, not a server that listens on all addresses:
 * the console cannot see the address it is reached at.
 *
 * `token`: whoever sends it as `Authorization: Bearer …`. The page asks for it and keeps it until its tab is closed.
 *
 * `authenticate`: as your application says: the operator's name for a request that may look, null for one that may not.
 * That name goes into the audit, and the page asks for none. Where it throws, nobody is let in, and the process warns.
 */
export type ConsoleAccess =
  | 'loopback'
  | { readonly token: string }
  | { readonly authenticate: (request: Request) => string | null | Promise<string | null> }

export interface Visitor {
  /** Null: the visitor says it with each decision. */
  readonly operator: string | null
}

export type Admission = { readonly visitor: Visitor } | { readonly refusal: Refusal }

/** What a request asks for: a file of the page, what there is to see, or a change. */
export type Purpose = 'file' | 'look' | 'act'

export interface Guard {
  admit(request: Request, purpose: Purpose): Promise<Admission>
}

const loopbackName = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/
const proxyHeaders = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip']
const shortestToken = 16

/** @throws OutboxError `INVALID_OPTION` */
export function createGuard(access: ConsoleAccess, hosts: readonly string[] | undefined): Guard {
  assertAccess(access)
  return {
    admit: async (request, purpose) => {
      const refusal =
        checkHost(request, access, hosts) ?? (purpose === 'file' ? null : checkOrigin(request, purpose, hosts))
      if (refusal !== null) return { refusal }
      if (access === 'loopback') return { visitor: { operator: null } }
      if ('token' in access) {
        // The files hold no secret, and the page must be there to ask for the token.
        if (purpose === 'file' || isToken(request, access.token)) return { visitor: { operator: null } }
        return refused(401, 'TOKEN_NEEDED', 'give the token of this console')
      }
      return authenticated(request, access)
    },
  }
}

function assertAccess(access: ConsoleAccess): void {
  if (access === 'loopback') return
  const isObject = typeof access === 'object' && access !== null
  if (isObject && 'authenticate' in access && typeof access.authenticate === 'function') return
  const token = isObject && 'token' in access ? access.token : undefined
  if (typeof token === 'string' && token.length >= shortestToken) return
  // Not the token itself: errors are logged.
  const given = token === undefined ? typeof access : `a token of ${String(token.length)} characters`
  throw invalidOption(
    'access',
    given,
    `'loopback', { authenticate }, or { token } of at least ${String(shortestToken)} characters`,
  )
}

const refused = (status: number, code: string, detail: string): { refusal: Refusal } => ({
  refusal: { status, code, detail },
})

/** What the application's login fails with is not for a visitor who may be anybody. */
async function authenticated(
  request: Request,
  access: Extract<ConsoleAccess, { readonly authenticate: unknown }>,
): Promise<Admission> {
  try {
    const operator = await access.authenticate(request)
    if (operator === null) return refused(401, 'NOT_AUTHENTICATED', 'log in to the application first')
    return { visitor: { operator } }
  } catch (error) {
    process.emitWarning(`the console's authenticate failed: ${String(error)}`, 'MaloteWarning')
    return refused(503, 'LOGIN_FAILED', 'the login of the application does not work')
  }
}

/** Behind DNS rebinding a browser names the attacker's host, whatever address that has become. */
function checkHost(request: Request, access: ConsoleAccess, hosts: readonly string[] | undefined): Refusal | null {
  const url = hostOf(request)
  const isKnown =
    url !== null &&
    (hosts === undefined
      ? access !== 'loopback' || loopbackName.test(url.hostname)
      : hosts.includes(url.hostname) || hosts.includes(url.host))
  if (!isKnown)
    return {
      status: 403,
      code: 'HOST_REFUSED',
      detail: 'this console does not answer to that host name: see its option "hosts"',
    }
  if (access === 'loopback' && proxyHeaders.some((name) => request.headers.has(name)))
    return {
      status: 403,
      code: 'PROXY_REFUSED',
      detail: 'this request came through a proxy: the console needs a token then',
    }
  return null
}

/** No other site may read or do anything, not even another port of this machine. */
function checkOrigin(request: Request, purpose: Purpose, hosts: readonly string[] | undefined): Refusal | null {
  const origin = request.headers.get('origin')
  const site = request.headers.get('sec-fetch-site')
  const isOwn = origin === null ? purpose !== 'act' : isSameOrigin(origin, request, hosts)
  if (isOwn && (site === null || site === 'same-origin' || site === 'none')) return null
  return { status: 403, code: 'ORIGIN_REFUSED', detail: 'only the page of this console may ask that' }
}

function isSameOrigin(origin: string, request: Request, hosts: readonly string[] | undefined): boolean {
  const [from, to] = [URL.canParse(origin) ? new URL(origin) : null, hostOf(request)]
  if (from === null || to === null || from.host === '') return false
  // The scheme may differ, behind a proxy that ends TLS; the port not, but for the scheme's own.
  return from.host === to.host || (hosts !== undefined && hosts.includes(from.host))
}

function hostOf(request: Request): URL | null {
  const text = `http://${request.headers.get('host') ?? new URL(request.url).host}`
  return URL.canParse(text) ? new URL(text) : null
}

function isToken(request: Request, token: string): boolean {
  const given = /^Bearer +(.+)$/i.exec(request.headers.get('authorization') ?? '')?.[1]
  return given !== undefined && timingSafeEqual(digest(given), digest(token))
}

/** Of one length, so that the comparison takes one time. */
const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
