/** Nothing but the page's own files may run, nothing may be asked elsewhere, and nobody may frame it. */
const contentSecurityPolicy = [
  `default-src 'none'`,
  `script-src 'self'`,
  `style-src 'self'`,
  `img-src 'self'`,
  `connect-src 'self'`,
  `base-uri 'none'`,
  `form-action 'none'`,
  `frame-ancestors 'none'`,
].join('; ')

const headers: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': contentSecurityPolicy,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

export function answer(status: number, type: string, body: string | null, more: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { ...headers, 'content-type': type, ...more } })
}

export function json(value: unknown): Response {
  // A pool may have parsers of its own, and read big integers as such.
  const plain = (_: string, part: unknown): unknown => (typeof part === 'bigint' ? String(part) : part)
  return answer(200, 'application/json', JSON.stringify(value, plain))
}

/** Why something was not done, in words for whoever sits before the page. */
export interface Refusal {
  readonly status: number
  readonly code: string
  readonly detail: string
}

export function refuse({ status, code, detail }: Refusal): Response {
  const challenge: Record<string, string> = status === 401 ? { 'www-authenticate': 'Bearer realm="malote"' } : {}
  return answer(status, 'application/problem+json', JSON.stringify({ status, code, detail }), challenge)
}
