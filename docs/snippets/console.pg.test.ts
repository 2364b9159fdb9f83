import { once } from 'node:events'
import { request, type Server } from 'node:http'
import { text } from 'node:stream/consumers'
import { migrate } from '@malote/outbox-core'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { consoleInExpress, consoleInHono } from './console.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await migrate(database.pool())
})
afterAll(() => database.drop())

it('mounted in Hono, it asks the login of the application, which signs decisions', async () => {
  const app = consoleInHono(database.pool(), async (request) => request.headers.get('x-user'))
  const page = 'http://app.example.com/ops/malote/'
  const headers = { 'x-user': 'ana', origin: 'http://app.example.com', 'content-type': 'application/json' }

  expect((await app.request(page)).status).toBe(401)
  expect(await (await app.request(page, { headers })).text()).toContain('console.js')
  expect((await app.request(page.slice(0, -1), { headers })).headers.get('location')).toBe('malote/')
  const body = JSON.stringify({ topic: 'orders', reason: 'the ledger moves house' })
  const paused = await app.request(`${page}api/actions/pause-topic`, { method: 'POST', headers, body })
  const view = (await (await app.request(`${page}api/view`, { headers })).json()) as Record<string, unknown>

  expect(await paused.json()).toEqual({ done: 1, wanted: 1 })
  expect(view['pausedTopics']).toMatchObject([{ topic: 'orders', pausedBy: 'ana' }])
})

it('mounted in Express, it wants the token, answers to its host name, and only shows', async () => {
  const token = 'a-token-of-some-length'
  const server: Server = consoleInExpress(database.pool(), token).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const ask = async (path: string, headers: Record<string, string>, method = 'GET') => {
    const sent = request({ host: '127.0.0.1', port, path: `/ops/malote${path}`, method, headers })
    const [response] = await once(sent.end(method === 'POST' ? '{}' : undefined), 'response')
    return { status: Number(response.statusCode), body: await text(response) }
  }
  const given = { host: 'ops.example.com', authorization: `Bearer ${token}` }

  expect((await ask('/', { host: 'ops.example.com' })).body).toContain('<title>')
  expect((await ask('/api/view', { host: 'ops.example.com' })).status).toBe(401)
  expect((await ask('/api/view', given)).status).toBe(200)
  expect((await ask('/api/view', { ...given, host: 'rebound.example.com' })).status).toBe(403)
  const origin = { origin: 'https://ops.example.com', 'content-type': 'application/json' }
  expect((await ask('/api/actions/discard', { ...given, ...origin }, 'POST')).body).toContain('READ_ONLY')
  server.close()
})
