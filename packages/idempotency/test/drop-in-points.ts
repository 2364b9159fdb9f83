import 'reflect-metadata'
import { once } from 'node:events'
import { serve } from '@hono/node-server'
import {
  Body,
  type CanActivate,
  Controller,
  type ExecutionContext,
  HttpException,
  type INestApplication,
  Inject,
  Module,
  Post,
  Res,
  UseGuards,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import type { NestExpressApplication } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import express from 'express'
import fastify from 'fastify'
import { type Context, Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type pg from 'pg'
import { close, type Mounted, urlOf } from './entry-points.ts'
import { idempotentMiddleware as expressMiddleware, keepRawBody } from '../src/frameworks/express.ts'
import { idempotentHooks } from '../src/frameworks/fastify.ts'
import { idempotentMiddleware as honoMiddleware } from '../src/frameworks/hono.ts'
import { Idempotent, IdempotencyModule } from '../src/frameworks/nest.ts'
import type { Idempotency } from '../src/index.ts'

/** What an application's own handler decides; how it says so is the framework's. */
export interface Outcome {
  readonly status: number
  readonly body: object
  /** As the framework's own exception. */
  readonly thrown?: boolean
  readonly cookie?: string
}

/** Asks nothing of the framework, and finds its transaction by itself. */
export type Service = (body: unknown) => Promise<Outcome>

type Mount = (
  idempotency: Idempotency<pg.Pool, object>,
  service: Service,
  options?: { readonly timeoutMs?: number },
) => Promise<Mounted>

/** Every form in which a handler that was there before is made idempotent. */
export const dropInPoints: Readonly<Record<string, Mount>> = {
  'Express middleware': async (idempotency, service, options) => {
    const app = express()
    app.use((_request, response, next) => {
      response.set('access-control-allow-origin', '*')
      next()
    })
    app.use(express.json({ verify: keepRawBody, limit: '1mb' }))
    app.post(
      '/orders',
      expressMiddleware<pg.Pool>(idempotency as never, { operation: 'createOrder', ...options }),
      async (request, response) => {
        const { status, body, thrown, cookie } = await service(request.body)
        if (thrown === true) throw Object.assign(new Error('refused'), { status, body })
        if (cookie !== undefined) response.append('set-cookie', [cookie, 'second=1'])
        response.status(status).location('/orders/1').json(body)
      },
    )
    app.use(((error: { status?: number; body?: object }, _request, response, _next) => {
      response.status(error.status ?? 500).json(error.body ?? { error: 'internal' })
    }) satisfies express.ErrorRequestHandler)
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { url: urlOf(server), close: () => close(server) }
  },
  'Fastify hooks': async (idempotency, service, options) => {
    const app = fastify()
    app.addHook('onRequest', async (_request, reply) => void reply.header('access-control-allow-origin', '*'))
    app.setErrorHandler((error: Error & { statusCode?: number; body?: object }, _request, reply) =>
      reply.code(error.statusCode ?? 500).send(error.body ?? { error: 'internal' }),
    )
    app.addContentTypeParser('multipart/form-data', (_request, payload, done) => done(null, payload))
    app.post(
      '/orders',
      idempotentHooks<pg.Pool>(idempotency as never, { operation: 'createOrder', ...options }),
      async (request, reply) => {
        const { status, body, thrown, cookie } = await service(request.body)
        if (thrown === true) throw Object.assign(new Error('refused'), { statusCode: status, body })
        if (cookie !== undefined) void reply.header('set-cookie', [cookie, 'second=1'])
        void reply.code(status).header('location', '/orders/1')
        return body
      },
    )
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    return { url: `${url}/orders`, close: () => app.close() }
  },
  'Hono middleware': async (idempotency, service, options) => {
    const app = new Hono()
    app.use(async (context, next) => {
      context.res.headers.set('access-control-allow-origin', '*')
      await next()
    })
    app.post(
      '/orders',
      honoMiddleware(idempotency as never as Idempotency<pg.Pool, Context>, { operation: 'createOrder', ...options }),
      async (context) => {
        const { status, body, thrown, cookie } = await service(await context.req.json())
        if (thrown === true) throw new HTTPException(status as 409, { res: Response.json(body, { status }) })
        if (cookie !== undefined) {
          context.header('set-cookie', cookie)
          context.header('set-cookie', 'second=1', { append: true })
        }
        return context.json(body, status as 200, { location: '/orders/1' })
      },
    )
    app.onError((error, context) =>
      error instanceof HTTPException ? error.getResponse() : context.json({ error: 'internal' }, 500),
    )
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
    if (!server.listening) await once(server, 'listening')
    return { url: urlOf(server), close: () => close(server) }
  },
  'Nest on Express': (idempotency, service, options) =>
    listen(
      idempotency,
      service,
      options,
      (module) => NestFactory.create<NestExpressApplication>(module, { rawBody: true, logger: false }),
      (app) => app.useBodyParser('json', { limit: '1mb' }),
    ),
  'Nest on Fastify': (idempotency, service, options) =>
    listen(idempotency, service, options, (module) =>
      NestFactory.create(module, new FastifyAdapter(), { rawBody: true, logger: false }),
    ),
}

/** The response of Nest as Express and Fastify have it. */
interface AnyReply {
  header(name: string, value: unknown): void
  status(status: number): void
}

const service = Symbol('service')

class AuthGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToHttp().getRequest<{ headers: { authorization?: string } }>().headers.authorization !== 'no'
  }
}

async function listen<App extends INestApplication>(
  idempotency: Idempotency<pg.Pool, object>,
  given: Service,
  options: object | undefined,
  create: (module: new () => object) => Promise<App>,
  configure: (app: App) => unknown = () => {},
): Promise<Mounted> {
  @Controller('orders')
  @UseGuards(AuthGuard)
  class OrdersController {
    readonly #service: Service
    constructor(@Inject(service) found: Service) {
      this.#service = found
    }

    @Post()
    @Idempotent({ operation: 'createOrder', ...options })
    async create(@Body() order: unknown, @Res({ passthrough: true }) response: AnyReply): Promise<object> {
      const { status, body, thrown, cookie } = await this.#service(order)
      if (thrown === true) throw new HttpException(body, status)
      if (cookie !== undefined) response.header('set-cookie', [cookie, 'second=1'])
      response.header('location', '/orders/1')
      response.status(status)
      return body
    }
  }

  @Module({
    imports: [IdempotencyModule.forRootAsync({ useFactory: () => idempotency })],
    controllers: [OrdersController],
    providers: [{ provide: service, useValue: given }],
  })
  class AppModule {}

  const app = await create(AppModule)
  app.use((_request: unknown, response: { setHeader(name: string, value: string): void }, next: () => void) => {
    response.setHeader('access-control-allow-origin', '*')
    next()
  })
  configure(app)
  await app.listen(0, '127.0.0.1')
  return { url: `${await app.getUrl()}/orders`, close: () => app.close() }
}
