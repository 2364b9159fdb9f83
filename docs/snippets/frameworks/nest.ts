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
  type OnApplicationShutdown,
  ParseIntPipe,
  Post,
  UseGuards,
} from '@nestjs/common'
import { createHandlers, createIdempotency, createInbox, type Idempotency } from '@malote/idempotency'
import { Idempotent, IdempotencyModule, InjectIdempotency } from '@malote/idempotency/nest'
import { createOutbox, createRelay, defineCatalog, type Outbox } from '@malote/outbox-core'
import { InjectOutbox, OutboxModule } from '@malote/outbox-core/nest'
import { createMemoryBroker, type MemoryBroker } from '@malote/outbox-core/testing'
import { NestFactory } from '@nestjs/core'
import type { Request } from 'express'
import { Pool, type PoolClient } from 'pg'
import { z } from 'zod'

// #region catalog
const catalog = defineCatalog({
  'order.accepted': { topic: 'orders', schema: z.object({ id: z.string(), quantity: z.number().int().positive() }) },
})
// #endregion

// #region service
@Injectable()
class OrdersService {
  readonly #idempotency: Idempotency<Pool, Request>
  readonly #outbox: Outbox<typeof catalog>

  constructor(
    @InjectIdempotency() idempotency: Idempotency<Pool, Request>,
    @InjectOutbox() outbox: Outbox<typeof catalog>,
  ) {
    this.#idempotency = idempotency
    this.#outbox = outbox
  }

  async create(asset: string, quantity: number): Promise<{ id: string }> {
    const tx = this.#idempotency.transaction()
    const { rows } = await tx.query<{ id: string }>(
      'insert into orders (asset, quantity) values ($1, $2) returning id',
      [asset, quantity],
    )
    if (quantity > 1_000) throw new ConflictException('more than there is')
    const { id } = rows[0] as { id: string }
    await this.#outbox.add(tx, { type: 'order.accepted', payload: { id, quantity } })
    return { id }
  }
}
// #endregion

// #region sales
@Injectable()
class SalesService {
  async book(tx: PoolClient, order: { id: string; quantity: number }): Promise<void> {
    await tx.query('insert into sales (order_id, quantity) values ($1, $2)', [order.id, order.quantity])
  }
}

@Module({ providers: [SalesService], exports: [SalesService] })
class SalesModule {}
// #endregion

// #region controller
@Injectable()
class AuthGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, unknown> }>()
    return headers['x-user'] !== undefined
  }
}

@Controller('orders')
@UseGuards(AuthGuard)
class OrdersController {
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

// #region infrastructure
/** What the modules share. A publisher and consumers of RabbitMQ, Kafka or SQS come here in place of the broker in memory. */
@Module({
  providers: [
    { provide: Pool, useFactory: () => new Pool() },
    { provide: 'BROKER', useFactory: () => createMemoryBroker() },
  ],
  exports: [Pool, 'BROKER'],
})
class InfrastructureModule implements OnApplicationShutdown {
  readonly #pool: Pool

  constructor(@Inject(Pool) pool: Pool) {
    this.#pool = pool
  }

  /** Relay and consumers have stopped by now. */
  async onApplicationShutdown(): Promise<void> {
    await this.#pool.end()
  }
}
// #endregion

// #region module
const pepper = 'a pepper of at least 16 bytes' // Yours comes from where your secrets are.

@Module({
  imports: [
    OutboxModule.forRootAsync({
      imports: [InfrastructureModule],
      inject: [Pool, 'BROKER'],
      useFactory: (pool: Pool, broker: MemoryBroker) => ({
        outbox: createOutbox({ catalog }),
        relay: createRelay({ pool, publisher: broker }),
      }),
    }),
    OutboxModule.forConsumers({
      imports: [InfrastructureModule, SalesModule],
      inject: [Pool, 'BROKER', SalesService],
      useFactory: (db: Pool, broker: MemoryBroker, sales: SalesService) =>
        broker.createConsumer({
          topic: 'orders',
          handler: createHandlers(
            catalog,
            { 'order.accepted': (order, tx) => sales.book(tx, order) },
            { inbox: createInbox(), db, consumer: 'sales' },
          ),
        }),
    }),
    IdempotencyModule.forRootAsync({
      imports: [InfrastructureModule],
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

export async function createApp(): Promise<INestApplication> {
  const app = await NestFactory.create(AppModule, { rawBody: true, logger: false })
  app.enableShutdownHooks() // A signal stops consumers and relay.
  return app
}
// #endregion
