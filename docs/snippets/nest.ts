import 'reflect-metadata'
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Module,
  Next,
  Post,
  Req,
  Res,
  UseGuards,
} from '@nestjs/common'
import type { Idempotency, IdempotentOperation } from '@malote/idempotency'
import { idempotentHandler, keepRawBody } from '@malote/idempotency/express'
import { idempotentRoute } from '@malote/idempotency/fastify'
import { NestFactory } from '@nestjs/core'
import { type NestExpressApplication } from '@nestjs/platform-express'
import { FastifyAdapter, type NestFastifyApplication, RouteConfig } from '@nestjs/platform-fastify'
import express, { type NextFunction, type Request, type Response } from 'express'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Pool } from 'pg'

export class AuthGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, unknown> }>()
    return headers['x-user'] !== undefined
  }
}

function placeOrderOperation<Context extends { body?: unknown }>(
  idempotency: Idempotency<Pool, Context>,
): IdempotentOperation<Context> {
  return idempotency.atomic({ operation: 'createOrder' }, async ({ tx, request }) => {
    const { asset } = request.body as { asset: string }
    if (asset === 'none') throw new Error('no such asset')
    const { rows } = await tx.query('insert into orders (asset) values ($1) returning id', [asset])
    return { status: 202, body: rows[0] }
  })
}

// #region express
export async function createExpressApp(idempotency: Idempotency<Pool, Request>): Promise<NestExpressApplication> {
  const createOrder = idempotentHandler(placeOrderOperation(idempotency))

  @Controller('orders')
  @UseGuards(AuthGuard)
  class OrdersController {
    @Post()
    create(@Req() request: Request, @Res() response: Response, @Next() next: NextFunction): unknown {
      return createOrder(request, response, next)
    }
  }

  @Module({ controllers: [OrdersController] })
  class AppModule {}

  const app = await NestFactory.create<NestExpressApplication>(AppModule, { bodyParser: false, logger: false })
  app.use(express.json({ verify: keepRawBody }))
  return app
}
// #endregion

// #region fastify
export async function createFastifyApp(
  idempotency: Idempotency<Pool, FastifyRequest>,
): Promise<NestFastifyApplication> {
  const createOrder = idempotentRoute(placeOrderOperation(idempotency))

  @Controller('orders')
  @UseGuards(AuthGuard)
  class OrdersController {
    @Post()
    @RouteConfig({ isIdempotent: true })
    create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<unknown> {
      return createOrder.handler(request, reply)
    }
  }

  @Module({ controllers: [OrdersController] })
  class AppModule {}

  const app = await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter(), { logger: false })
  // Keeps the bytes of bodies as they arrive, on the routes that are marked: Nest has no decorator for it.
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRoute', (route) => {
      if (route.config !== undefined && 'isIdempotent' in route.config) route.preParsing = createOrder.preParsing
    })
  return app
}
// #endregion
