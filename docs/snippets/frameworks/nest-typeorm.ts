import 'reflect-metadata'
import {
  Body,
  Controller,
  Inject,
  Injectable,
  type INestApplication,
  Module,
  type OnApplicationShutdown,
  ParseIntPipe,
  Post,
} from '@nestjs/common'
import { createIdempotency, type Idempotency } from '@malote/idempotency'
import { Idempotent, IdempotencyModule, InjectIdempotency } from '@malote/idempotency/nest'
import { createOutbox, type Outbox } from '@malote/outbox-core'
import { InjectOutbox, OutboxModule } from '@malote/outbox-core/nest'
import { type DatabaseClient, typeormDatabase, typeormTransaction } from '@malote/outbox-core/typeorm'
import { NestFactory } from '@nestjs/core'
import type { Request } from 'express'
import { DataSource, type EntityManager } from 'typeorm'

// #region nest-typeorm
type TypeormIdempotency = Idempotency<DatabaseClient<EntityManager>, Request>

@Injectable()
class OrdersService {
  readonly #idempotency: TypeormIdempotency
  readonly #outbox: Outbox

  constructor(@InjectIdempotency() idempotency: TypeormIdempotency, @InjectOutbox() outbox: Outbox) {
    this.#idempotency = idempotency
    this.#outbox = outbox
  }

  async create(asset: string, quantity: number): Promise<{ id: string }> {
    const manager = this.#idempotency.transaction()
    const insert = 'insert into orders (asset, quantity) values ($1, $2) returning id'
    const [{ id }] = await manager.query<[{ id: string }]>(insert, [asset, quantity])
    const payload = { id, quantity }
    await this.#outbox.add(typeormTransaction(manager), { topic: 'orders', type: 'order.accepted', payload })
    return { id }
  }
}

@Controller('orders')
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

/** With `@nestjs/typeorm` this module is `TypeOrmModule.forRoot(…)`, which gives the same `DataSource`. */
@Module({
  providers: [
    {
      provide: DataSource,
      useFactory: () => new DataSource({ type: 'postgres', url: process.env['DATABASE_URL'] ?? '' }).initialize(),
    },
  ],
  exports: [DataSource],
})
class DatabaseModule implements OnApplicationShutdown {
  readonly #dataSource: DataSource

  constructor(@Inject(DataSource) dataSource: DataSource) {
    this.#dataSource = dataSource
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#dataSource.destroy()
  }
}

@Module({
  imports: [
    OutboxModule.forRoot({ outbox: createOutbox() }),
    IdempotencyModule.forRootAsync({
      imports: [DatabaseModule],
      inject: [DataSource],
      useFactory: (dataSource: DataSource) =>
        createIdempotency({
          db: typeormDatabase(dataSource),
          tenant: () => 'acme',
          subject: (request: Request) => String(request.headers['x-user']),
          pepper: 'a pepper of at least 16 bytes', // Yours comes from where your secrets are.
        }),
    }),
  ],
  controllers: [OrdersController],
  providers: [OrdersService],
})
class AppModule {}

export async function createTypeormApp(): Promise<INestApplication> {
  const app = await NestFactory.create(AppModule, { rawBody: true, logger: false })
  app.enableShutdownHooks()
  return app
}
// #endregion
