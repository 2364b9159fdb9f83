import { describe, expect, it } from 'vitest'
import { createIdempotentClient, uuidv7 } from '../src/client.ts'
import { openApiFragments } from '../src/index.ts'

/** A server of prepared answers: a status, a response, or a network error. Remembers the keys it was sent. */
function server(...answers: (number | Response | Error)[]) {
  const keys: (string | null)[] = []
  const bodies: unknown[] = []
  const fetch = (_url: string | URL, init: RequestInit): Promise<Response> => {
    keys.push(new Headers(init.headers).get('idempotency-key'))
    bodies.push(init.body)
    const answer = answers[Math.min(keys.length, answers.length) - 1]
    if (answer instanceof Error) return Promise.reject(answer)
    return Promise.resolve(answer instanceof Response ? answer : new Response(null, { status: answer as number }))
  }
  return { fetch, keys, bodies }
}

const retryNow = (status: number) => new Response(null, { status, headers: { 'retry-after': '0' } })
const request = { method: 'POST', body: '{}' }

describe('the client', () => {
  it('sends one new quoted UUIDv7 and keeps it over every retry', async () => {
    const { fetch, keys, bodies } = server(retryNow(503), retryNow(409), new TypeError('fetch failed'), 201)

    const response = await createIdempotentClient({ fetch })('http://localhost/', request)

    expect(response.status).toBe(201)
    expect(keys).toHaveLength(4)
    expect(new Set(keys).size).toBe(1)
    expect(keys[0]).toMatch(/^"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"$/)
    expect(new Set(bodies)).toEqual(new Set(['{}']))
  })

  it.each([422, 400, 402, 404, 409, 412, 429, 500, 501])('does not retry a %s without Retry-After', async (status) => {
    const { fetch, keys } = server(status)

    expect((await createIdempotentClient({ fetch })('http://localhost/', request)).status).toBe(status)
    expect(keys).toHaveLength(1)
  })

  it('never retries a 422, whatever it says', async () => {
    const { fetch, keys } = server(retryNow(422))

    expect((await createIdempotentClient({ fetch })('http://localhost/', request)).status).toBe(422)
    expect(keys).toHaveLength(1)
  })

  it('gives up after maxAttempts: the last response, or the last network error', async () => {
    const busy = server(retryNow(503))
    const down = server(new TypeError('fetch failed'))
    const options = { maxAttempts: 2 }

    expect((await createIdempotentClient({ ...options, fetch: busy.fetch })('http://localhost/', request)).status).toBe(
      503,
    )
    await expect(
      createIdempotentClient({ ...options, fetch: down.fetch })('http://localhost/', request),
    ).rejects.toThrow('fetch failed')
    expect([busy.keys.length, down.keys.length]).toEqual([2, 2])
  })

  it('does not wait longer than maxPauseMs', async () => {
    const { fetch, keys } = server(new Response(null, { status: 409, headers: { 'retry-after': '3600' } }))

    expect((await createIdempotentClient({ fetch })('http://localhost/', request)).status).toBe(409)
    expect(keys).toHaveLength(1)
  })

  it('an aborted signal ends a pause', async () => {
    const controller = new AbortController()
    const { fetch } = server(new Response(null, { status: 503, headers: { 'retry-after': '20' } }))
    const client = createIdempotentClient({ fetch, onRetry: () => controller.abort(new Error('enough')) })

    await expect(client('http://localhost/', { ...request, signal: controller.signal })).rejects.toThrow('enough')
  })

  it("sends the caller's own key, and refuses a body that can be read only once", async () => {
    const { fetch, keys } = server(201)
    const client = createIdempotentClient({ fetch })

    await client('http://localhost/', { ...request, idempotencyKey: 'my-own-key-0123456789' })

    expect(keys).toEqual(['"my-own-key-0123456789"'])
    await expect(client('http://localhost/', { method: 'POST', body: new ReadableStream() })).rejects.toThrow(TypeError)
  })

  it('puts the time into the key', () => {
    expect(uuidv7(0x0123456789ab).startsWith('01234567-89ab-7')).toBe(true)
  })
})

describe('the OpenAPI fragments', () => {
  it('name the header, how long keys are remembered, and every refusal', () => {
    const fragments = openApiFragments({ keyRetentionMs: 48 * 3_600_000 })

    expect(fragments.parameter).toMatchObject({ name: 'Idempotency-Key', in: 'header', required: true })
    expect(fragments.parameter['description']).toContain('48 hours')
    expect(Object.keys(fragments.responses)).toEqual(['400', '409', '412', '413', '422', '503'])
    expect(Object.keys(fragments.replayHeaders)).toEqual(['Idempotency-Replayed'])
  })
})
