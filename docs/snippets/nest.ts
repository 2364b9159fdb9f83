import 'reflect-metadata'
import {
  Body,
  type CanActivate,
  ConflictException,
  Controller,
  type ExecutionContext,
  Inject,
  Injectable,
  type INestApplication,
  Module,
  ParseIntPipe,
  Post,
  UseGuards,
} from '@nestjs/common'
import { createIdempotency, type Idempotency } from '@malote/idempotency'
import { Idempotent, IdempotencyModule, InjectIdempotency } from '@malote/idempotency/nest'
import { createOutbox } from '@malote/outbox-core'
import { NestFactory } from '@nestjs/core'
import type { Request } from 'express'
import { Pool } from 'pg'

// #region service
const outbox = createOutbox()

@Injectable()
export class OrdersService {
  readonly #idempotency: Idempotency<Pool, Request>

  constructor(@InjectIdempotency() idempotency: Idempotency<Pool, Request>) {
    this.#idempotency = idempotency
  }

  async create(asset: string, quantity: number): Promise<{ id: string }> {
    const tx = this.#idempotency.transaction()
    const { rows } = await tx.query<{ id: string }>(
      'insert into orders (asset, quantity) values ($1, $2) returning id',
      [asset, quantity],
    )
    if (quantity > 1_000) throw new ConflictException('more than there is')
    const { id } = rows[0] as { id: string }
    await outbox.add(tx, { topic: 'orders', type: 'order.accepted', payload: { id } })
    return { id }
  }
}
// #endregion

// #region controller
@Injectable()
export class AuthGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, unknown> }>()
    return headers['x-user'] !== undefined
  }
}

@Controller('orders')
@UseGuards(AuthGuard)
export class OrdersController {
  readonly #orders: OrdersService

  constructor(@Inject(OrdersService) orders: OrdersService) {
    this.#orders = orders
  }

  @Post()
  @Idempotent({ operation: 'createOrder' })
  create(@Body('asset') asset: string, @Body('quantity', ParseIntPipe) quantity: number): Promise<{ id: string }> {
    return this.#orders.create(asset, quantity)
  }
}
// #endregion

// #region module
const pepper = 'a pepper of at least 16 bytes' // Yours comes from where your secrets are.

@Module({ providers: [{ provide: Pool, useFactory: () => new Pool() }], exports: [Pool] })
export class DatabaseModule {}

@Module({
  imports: [
    IdempotencyModule.forRootAsync({
      imports: [DatabaseModule],
      inject: [Pool],
      useFactory: (db: Pool) =>
        createIdempotency({
          db,
          tenant: () => 'acme',
          subject: (request: Request) => String(request.headers['x-user']),
          pepper,
        }),
    }),
  ],
  controllers: [OrdersController],
  providers: [OrdersService],
})
export class AppModule {}

export function createApp(): Promise<INestApplication> {
  return NestFactory.create(AppModule, { rawBody: true, logger: false })
}
// #endregion
