import 'reflect-metadata'
import { randomUUID } from 'node:crypto'
import {
  type CallHandler,
  Controller,
  type ExecutionContext,
  type INestApplication,
  Module,
  type NestInterceptor,
  Post,
  RequestTimeoutException,
  Res,
  UploadedFile,
  UseFilters,
  UseInterceptors,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FileInterceptor } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type pg from 'pg'
import { finalize, map, type Observable, of, throwError } from 'rxjs'
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { Idempotent, IdempotencyModule } from '../src/frameworks/nest.ts'
import { createIdempotency, type Idempotency } from '../src/index.ts'
import { countOrders, createOrders } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
afterAll(() => database.drop())

type NestApp = Promise<INestApplication>
const platforms: readonly [string, (module: new () => object) => NestApp][] = [
  ['Express', (module) => NestFactory.create(module, { rawBody: true, logger: false, abortOnError: false })],
  [
    'Fastify',
    (module) => NestFactory.create(module, new FastifyAdapter(), { rawBody: true, logger: false, abortOnError: false }),
  ],
]

interface AnyReply {
  status(status: number): { send(body: unknown): unknown }
}

/** An interceptor as applications have them around everything: it wraps what is returned, and counts what ends. */
class Envelope implements NestInterceptor {
  ended = 0
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      map((data: { id: string }) => ({ data: { of: data.id } })),
      finalize(() => this.ended++),
    )
  }
}

describe.each(platforms)('@Idempotent() on %s', (_, create) => {
  async function listen(
    makeController: (idempotency: Idempotency<pg.Pool, object>) => new () => object,
  ): Promise<{ readonly post: (path: string, key: string) => Promise<Response> }> {
    const idempotency = createIdempotency<pg.Pool, object>({
      db: pool,
      tenant: () => 'acme',
      subject: () => 'alice',
      pepper: 'a pepper of at least 16 bytes',
    })
    @Module({
      imports: [IdempotencyModule.forRoot(idempotency)],
      controllers: [makeController(idempotency)],
    })
    class AppModule {}
    const app = await create(AppModule)
    onTestFinished(() => app.close())
    await app.listen(0, '127.0.0.1')
    const url = await app.getUrl()
    const headers = { 'content-type': 'application/json' }
    return {
      post: (path, key) =>
        fetch(`${url}/${path}`, { method: 'POST', headers: { ...headers, 'idempotency-key': key }, body: '{}' }),
    }
  }

  it('stores what interceptors around made of the result, and ends them on a replay too', async () => {
    const envelope = new Envelope()
    const { post } = await listen((idempotency) => {
      @Controller('orders')
      @UseInterceptors(envelope)
      class OrdersController {
        @Post()
        @Idempotent({ operation: 'createOrder' })
        async create(): Promise<object> {
          const { rows } = await idempotency.transaction().query('insert into orders default values returning id')
          return rows[0] as object
        }
      }
      return OrdersController
    })
    const key = randomUUID()

    const answers = [await post('orders', key), await post('orders', key)]

    expect(answers.map(({ status }) => status)).toEqual([201, 201])
    const [first, retry] = await Promise.all(answers.map((answer) => answer.text()))
    expect(first).toMatch(/^\{"data":\{"of":"\d+"\}\}$/)
    expect([retry, envelope.ended]).toEqual([first, 2])
  })

  it('serves a handler that answers by the response of the framework', async () => {
    let calls = 0
    const { post } = await listen(() => {
      @Controller('orders')
      class OrdersController {
        @Post()
        @Idempotent({ operation: 'createOrder' })
        create(@Res() response: AnyReply): void {
          calls++
          response.status(202).send({ calls })
        }
      }
      return OrdersController
    })
    const key = randomUUID()

    const answers = [await post('orders', key), await post('orders', key)]

    expect(answers.map(({ status }) => status)).toEqual([202, 202])
    expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(['{"calls":1}', '{"calls":1}'])
  })

  it('undoes what an interceptor around gives up', async () => {
    const before = await countOrders(pool)
    const { post } = await listen((idempotency) => {
      @Controller('orders')
      @UseInterceptors({
        intercept: (_context: ExecutionContext, next: CallHandler) =>
          next.handle().pipe((source) => {
            source.subscribe()
            return throwError(() => new RequestTimeoutException())
          }),
      })
      class OrdersController {
        @Post()
        @Idempotent({ operation: 'createOrder' })
        async create(): Promise<object> {
          await idempotency.transaction().query('insert into orders default values')
          return {}
        }
      }
      return OrdersController
    })

    expect([(await post('orders', randomUUID())).status, await countOrders(pool)]).toEqual([408, before])
  })

  it('takes handlers that return observables, and a replay is no error to exception filters', async () => {
    const errors: unknown[] = []
    const { post } = await listen(() => {
      @Controller('orders')
      @UseFilters({ catch: (error: unknown) => errors.push(error) })
      class OrdersController {
        @Post()
        @Idempotent({ operation: 'createOrder' })
        create(): Observable<object> {
          return of({ id: 'an order' })
        }
      }
      return OrdersController
    })
    const key = randomUUID()

    const answers = [await post('orders', key), await post('orders', key)]

    expect(await Promise.all(answers.map((answer) => answer.json()))).toEqual([{ id: 'an order' }, { id: 'an order' }])
    expect(errors).toEqual([])
  })

  it('refuses an option that is wrong when the application starts', async () => {
    const starting = listen(() => {
      @Controller('orders')
      class OrdersController {
        @Post()
        @Idempotent({ operation: 'createOrder', timeoutMs: -1 })
        create(): void {}
      }
      return OrdersController
    })

    await expect(starting).rejects.toMatchObject({ code: 'INVALID_OPTION' })
  })

  it('is not served without the bytes of the body, and says what to do', async () => {
    const app = await NestFactory.create(
      (() => {
        @Controller('orders')
        class OrdersController {
          @Post()
          @Idempotent({ operation: 'createOrder' })
          create(): void {}
        }
        @Module({
          imports: [
            IdempotencyModule.forRootAsync({
              useFactory: () =>
                createIdempotency<pg.Pool, object>({
                  db: pool,
                  tenant: () => 'acme',
                  subject: () => 'alice',
                  pepper: 'a pepper of at least 16 bytes',
                }),
            }),
          ],
          controllers: [OrdersController],
        })
        class AppModule {}
        return AppModule
      })(),
      { logger: false },
    )
    onTestFinished(() => app.close())
    await app.listen(0, '127.0.0.1')

    const answer = await fetch(`${await app.getUrl()}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
      body: '{}',
    })

    expect(answer.status).toBe(500)
  })
})

it('a file that a protected route takes arrives whole, small or large, and an unprotected route is left alone', async () => {
  @Controller()
  class UploadsController {
    @Post('protected')
    @UseInterceptors(FileInterceptor('file'))
    @Idempotent({ operation: 'upload' })
    keep(@UploadedFile() file: { buffer: Buffer } | undefined): object {
      return { bytes: file?.buffer.length }
    }

    @Post('plain')
    @UseInterceptors(FileInterceptor('file'))
    take(@UploadedFile() file: { buffer: Buffer } | undefined): object {
      return { bytes: file?.buffer.length }
    }
  }
  const idempotency = createIdempotency<pg.Pool, object>({
    db: pool,
    tenant: () => 'acme',
    subject: () => 'alice',
    pepper: 'a pepper of at least 16 bytes',
  })
  @Module({
    imports: [IdempotencyModule.forRootAsync({ useFactory: () => idempotency })],
    controllers: [UploadsController],
  })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { rawBody: true, logger: false })
  onTestFinished(() => app.close())
  await app.listen(0, '127.0.0.1')
  const url = await app.getUrl()
  const upload = async (path: string, size: number, key: string) => {
    const body = new FormData()
    body.set('file', new Blob([Buffer.alloc(size, 'x')]), 'file')
    const answer = await fetch(`${url}/${path}`, { method: 'POST', headers: { 'idempotency-key': key }, body })
    return [
      answer.status,
      ((await answer.json()) as { bytes?: number }).bytes,
      answer.headers.has('idempotency-replayed'),
    ]
  }

  for (const size of [1, 300_000]) {
    const key = randomUUID()
    expect(await upload('plain', size, key)).toEqual([201, size, false])
    expect(await upload('protected', size, key)).toEqual([201, size, false])
    // Each attempt draws a boundary of its own.
    expect(await upload('protected', size, key)).toEqual([201, size, true])
    expect((await upload('protected', size + 1, key))[0]).toBe(422)
  }
})
