import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { idempotentHandler as expressHandler, keepRawBody } from '../src/frameworks/express.ts'
import { idempotentRoute } from '../src/frameworks/fastify.ts'
import { idempotentHandler as honoHandler } from '../src/frameworks/hono.ts'
import { idempotentFetch, type IdempotentOperation } from '../src/index.ts'

/** A server that listens, with an operation on `POST /orders`. */
export interface Mounted {
  readonly url: string
  close(): Promise<void>
}

/** What an error handler of the application was given. */
export type OnError = (error: unknown) => void

/** An operation that asks nothing of the framework it runs in. */
export type AnyOperation = IdempotentOperation<object>

type Mount = (operation: AnyOperation, onError?: OnError) => Promise<Mounted>

export const close = (server: { close(callback: () => void): unknown }): Promise<void> =>
  new Promise((resolve) => server.close(() => resolve()))

export const urlOf = (server: { address(): unknown }): string =>
  `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/orders`

/** Every entry point, each with what its users put before an idempotent route. */
export const entryPoints: Readonly<Record<string, Mount>> = {
  Fastify: async (operation, onError) => {
    const app = fastify()
    app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
      done(null, body),
    )
    // Parsers that hand the stream on, as multipart plugins do.
    for (const type of ['application/x-stream', 'multipart/form-data'])
      app.addContentTypeParser(type, (_request, payload, done) => done(null, payload))
    app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
      onError?.(error)
      return reply.code(error.statusCode ?? 500).send({ error: error.message })
    })
    app.post('/orders', idempotentRoute(operation))
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    return { url: `${url}/orders`, close: () => app.close() }
  },
  Express: async (operation, onError) => {
    const app = express()
    app.use(express.json({ verify: keepRawBody, limit: '1mb' }))
    app.post('/orders', expressHandler(operation))
    app.use(((error: Error & { status?: number }, _request, response, _next) => {
      onError?.(error)
      response.status(error.status ?? 500).json({ error: error.message })
    }) satisfies express.ErrorRequestHandler)
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { url: urlOf(server), close: () => close(server) }
  },
  Hono: async (operation, onError) => {
    const app = new Hono()
    app.post('/orders', honoHandler(operation))
    app.onError((error, context) => {
      onError?.(error)
      return context.json({ error: error.message }, 500)
    })
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
    if (!server.listening) await once(server, 'listening')
    return { url: urlOf(server), close: () => close(server) }
  },
  'a fetch-style server': async (operation, onError) => {
    const handle = idempotentFetch(operation)
    const answer = (request: Request): Promise<Response> =>
      handle(request).catch((error: unknown) => {
        onError?.(error)
        return new Response('{}', { status: 500 })
      })
    const server = serve({ fetch: answer, port: 0, hostname: '127.0.0.1' })
    if (!server.listening) await once(server, 'listening')
    return { url: urlOf(server), close: () => close(server) }
  },
}
