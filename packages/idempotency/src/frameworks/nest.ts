/**
 * Makes route handlers of Nest idempotent by a decorator, on Express and on Fastify.
 *
 * @packageDocumentation
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type CallHandler,
  type DynamicModule,
  type ExecutionContext,
  type FactoryProvider,
  Inject,
  Injectable,
  type ModuleMetadata,
  type NestInterceptor,
  UseInterceptors,
} from '@nestjs/common'
import { Observable, type Subscriber } from 'rxjs'
import { type Around, type AroundOptions, createAround } from './around.ts'
import { captureResponse, type CapturedResponse } from './captured-response.ts'
import { nodeRequest } from './node-request.ts'
import { type KeptBody, wholeBody } from './peek-body.ts'
import type { Idempotency } from '../http/idempotency.ts'
import type { Database } from '../database/transaction.ts'

/** The token of the `Idempotency`, for `app.get`, and for `overrideProvider` in tests. Services use `@InjectIdempotency()`. */
export const IDEMPOTENCY: unique symbol = Symbol.for('@malote/idempotency')

/** Injects the `Idempotency` into a service, which writes to its `transaction()`. */
export function InjectIdempotency(): ParameterDecorator & PropertyDecorator {
  return Inject(IDEMPOTENCY)
}

/** How Nest makes the `Idempotency`: like a provider. */
export interface IdempotencyModuleOptions
  extends Pick<ModuleMetadata, 'imports'>, Pick<FactoryProvider<object>, 'inject' | 'useFactory'> {}

/** Gives the decorator its `Idempotency`, in every module. */
export const IdempotencyModule: {
  /** @param idempotency - what `createIdempotency` returns, where it needs nothing of Nest */
  readonly forRoot: (idempotency: { readonly atomic: (...given: never[]) => unknown }) => DynamicModule
  /** @param options - `useFactory` returns what `createIdempotency` does */
  readonly forRootAsync: (options: IdempotencyModuleOptions) => DynamicModule
} = {
  forRoot: (idempotency) => idempotencyModule({ useFactory: () => idempotency }),
  forRootAsync: idempotencyModule,
}

function idempotencyModule({ imports = [], inject = [], useFactory }: IdempotencyModuleOptions): DynamicModule {
  return {
    module: MaloteIdempotencyModule,
    global: true,
    imports,
    providers: [{ provide: IDEMPOTENCY, inject, useFactory }],
    exports: [IDEMPOTENCY],
  }
}

// oxlint-disable-next-line typescript/no-extraneous-class -- Nest tells modules apart by their class
class MaloteIdempotencyModule {}

/** A request of Express or Fastify as far as it is looked at. `rawBody` is what Nest's option of this name keeps. */
interface NestRequest {
  readonly raw?: IncomingMessage
  readonly originalUrl: string
  readonly rawBody?: unknown
}

type NestResponse = ServerResponse | { readonly raw: ServerResponse; getHeaders(): Record<string, never> }

/**
 * A route handler whose requests and their retries have one effect and get one answer. Create the application with
 * `{ rawBody: true }`, and give `IdempotencyModule` the `Idempotency`. Write it below interceptors that read the body, of uploads for
 * example: Nest runs the lowest first.
 *
 * Guards come before: a request they refuse reaches nothing, on a retry too. Interceptors, pipes, the handler and exception
 * filters run inside the transaction, which services reach by `idempotency.transaction()`. What counts is what was
 * written in the end: 2xx and 3xx commit, 4xx undo the effects and are stored, also those that a pipe or a service throws, 5xx undo
 * everything. A replay is sent as it is stored; interceptors see it pass as `undefined`. A handler is called once: a conflict of
 * transactions is answered with 503 `no-effect`.
 *
 * @throws IdempotencyError `INVALID_OPTION` when the application starts
 */
export function Idempotent(options: AroundOptions<never>): MethodDecorator {
  class IdempotentInterceptor implements NestInterceptor {
    readonly #around: Around<NestRequest>

    constructor(idempotency: Idempotency<Database, NestRequest>) {
      this.#around = createAround(idempotency, options as AroundOptions<NestRequest>)
    }

    intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
      return new Observable((subscriber) => void intercept(this.#around, context, next, subscriber))
    }
  }
  Injectable()(IdempotentInterceptor)
  Inject(IDEMPOTENCY)(IdempotentInterceptor, undefined, 0)
  return UseInterceptors(IdempotentInterceptor)
}

async function intercept(
  around: Around<NestRequest>,
  context: ExecutionContext,
  next: CallHandler,
  subscriber: Subscriber<unknown>,
): Promise<void> {
  const http = context.switchToHttp()
  const request = http.getRequest<NestRequest>()
  const response = http.getResponse<NestResponse>()
  const captured = 'raw' in response ? captureResponse(response.raw, response.getHeaders()) : captureResponse(response)
  let isHandled = false
  try {
    const kept = await bodyOf(request, around.maxRequestBytes)
    const raw = request.raw ?? (request as unknown as IncomingMessage)
    const answer = await around(nodeRequest(raw, request.originalUrl, kept), request, () => {
      isHandled = true
      subscriber.add(next.handle().subscribe(subscriber))
      return captured.written
    })
    if (!isHandled && !isResponseHandled(context)) await letPass(subscriber, captured)
    await captured.send(answer)
    subscriber.complete()
  } catch (error) {
    captured.restore()
    if (isHandled) refuse('raw' in response ? response.raw : response)
    else subscriber.error(error)
  }
}

/** Nest, and the interceptors around, answer with nothing; that answer is dropped. */
async function letPass(subscriber: Subscriber<unknown>, captured: CapturedResponse): Promise<void> {
  subscriber.next(undefined)
  subscriber.complete()
  await captured.written.catch(() => {})
}

/** As Nest words it: its filters have had their turn. The error was reported by `onEvent`. */
function refuse(response: ServerResponse): void {
  response.statusCode = 500
  response.setHeader('content-type', 'application/json; charset=utf-8')
  response.end(JSON.stringify({ statusCode: 500, message: 'Internal server error' }))
}

async function bodyOf(request: NestRequest, limit: number): Promise<KeptBody> {
  const { rawBody, raw } = request
  // A parser of Express inflates first.
  if (rawBody instanceof Uint8Array) return { bytes: rawBody, isDecoded: raw === undefined }
  const advice =
    'create the Nest application with { rawBody: true }, and write @Idempotent() below interceptors that read the body'
  return wholeBody(raw ?? (request as unknown as IncomingMessage), limit, advice)
}

/** Whether Nest leaves it to the handler to answer: it has `@Res()` or `@Next()` among its parameters. */
function isResponseHandled(context: ExecutionContext): boolean {
  const [controller, method] = [context.getClass(), context.getHandler().name]
  const { getMetadata } = Reflect as unknown as {
    getMetadata: (this: void, key: string, of: object, name: string) => object | undefined
  }
  const parameters = Object.keys(getMetadata('__routeArguments__', controller, method) ?? {})
  const isPassthrough = getMetadata('__responsePassthrough__', controller, method) !== undefined
  return !isPassthrough && parameters.some((parameter) => parameter.startsWith('1:') || parameter.startsWith('2:'))
}
