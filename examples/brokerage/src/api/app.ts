import { randomUUID } from 'node:crypto'
import rateLimit from '@fastify/rate-limit'
import type { Console } from '@malote/outbox-core/console'
import Fastify, { type FastifyBaseLogger, type FastifyError, type FastifyInstance, LogController } from 'fastify'
import type pg from 'pg'
import type { CpfCipher } from '../accounts/cpf.ts'
import type { Database } from '../database/database.ts'
import { log } from '../process/log.ts'
import { accountRoutes } from './account-routes.ts'
import { authenticate, nobody } from './bearer.ts'
import { type Cache, noCache } from './cache.ts'
import { consoleRoutes } from './console-routes.ts'
import { finishBeforeClosing } from './graceful-stop.ts'
import { healthRoutes } from './health-routes.ts'
import { marketRoutes } from './market-routes.ts'
import { measureRequests } from './metrics.ts'
import { describeApi } from './openapi.ts'
import { operatorRoutes } from './operator-routes.ts'
import { outboxConsoleRoutes } from './outbox-console.ts'
import { orderRoutes } from './order-routes.ts'
import { parseJsonExactly } from './order-request.ts'
import type { Pace } from './pace.ts'
import { isUnstorableText, problem, problemOfError, sendProblem } from './problem.ts'
import { queryRoutes } from './query-routes.ts'
import { traceRequests } from './request-context.ts'
import type { Tokens } from './tokens.ts'

export interface ApiOptions {
  readonly db: Database
  /** The one behind `db`, for what is placed. */
  readonly pool: pg.Pool
  readonly tokens: Tokens
  readonly cpf: CpfCipher
  /** Secret that idempotency keys are hashed with, at least 16 bytes. */
  readonly pepper: string
  /** Age at which an order that is not decided goes before a person. */
  readonly orderTimeoutMs: number
  /** Accept the tokens of demo accounts, and let everybody break things. */
  readonly demo: boolean
  /** Requests of one client in a minute. Null: no limit. */
  readonly requestsPerMinute: number | null
  /** Where whoever runs the roles takes faults and kills. Null: nobody does. */
  readonly controlUrl: string | null
  /** For answers that are dear to make. @defaultValue none */
  readonly cache?: Cache
  /** In front of what is placed. @defaultValue none: orders are accepted as fast as they come */
  readonly pace?: Pace
  /** The library's console, below `/malote`. @defaultValue none */
  readonly outboxConsole?: Console
  /** Longest time a request may take to arrive, body included, in milliseconds; then it is answered 408, within a second. @defaultValue 10_000 */
  readonly requestTimeoutMs?: number
  /** Longest time that closing waits for requests that run, in milliseconds. @defaultValue 5_000: a role is ended after 8 s */
  readonly stopGraceMs?: number
}

/** The brokerage's HTTP API. Every refusal is problem+json; `/swagger` tells the rest. */
export async function createApi(options: ApiOptions): Promise<FastifyInstance> {
  const logger: FastifyBaseLogger = log
  const requestTimeout = options.requestTimeoutMs ?? 10_000
  const app: FastifyInstance = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 16_384,
    forceCloseConnections: true,
    return503OnClosing: false,
    requestTimeout,
    // To Node as well: it derives its limit for the headers from it, and cuts a body off after the longer of the two.
    http: { connectionsCheckingInterval: 1_000, requestTimeout },
    genReqId: (request) => {
      const given = request.headers['x-correlation-id']
      return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID()
    },
  })
  // Checked by the schemas' own code, which says what is wrong in our words; Fastify's copies are for the description.
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  app.decorateRequest('principal', null as never)
  app.addHook('onRequest', async (request, reply) => {
    request.principal = nobody
    reply.header('x-correlation-id', request.id)
  })
  const finish = finishBeforeClosing(app, options.stopGraceMs ?? 5_000)
  readJsonExactly(app)
  measureRequests(app)
  traceRequests(app)
  app.addHook('onRequest', authenticate({ db: options.db, tokens: options.tokens, demoTokens: options.demo }))
  answerErrors(app)
  if (options.requestsPerMinute !== null) await limitRequests(app, options.requestsPerMinute)
  await describeApi(app)
  orderRoutes(app, options)
  queryRoutes(app, options.db, options.cache ?? noCache)
  accountRoutes(app, options)
  marketRoutes(app, options.db)
  operatorRoutes(app, options)
  healthRoutes(app, options.db)
  consoleRoutes(app, options)
  if (options.outboxConsole !== undefined) outboxConsoleRoutes(app, options.outboxConsole)
  app.addHook('preClose', finish)
  return app
}

function readJsonExactly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, parseJsonExactly(String(body)))
    } catch (error) {
      done(Object.assign(error as Error, { statusCode: 400 }))
    }
  })
}

function answerErrors(app: FastifyInstance): void {
  app.setNotFoundHandler({}, (_request, reply) => sendProblem(reply, 'NOT_FOUND'))
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const code = problemOfError(error)
    // The client hears nothing of our insides; the operator hears all but the request.
    if (code === 'INTERNAL_ERROR') request.log.error({ err: error }, 'request failed')
    if (code !== 'INVALID_REQUEST') return sendProblem(reply, code)
    return sendProblem(
      reply,
      code,
      isUnstorableText(error) ? 'a text contains NUL' : 'the body is not the JSON it should be',
    )
  })
}

/** Counted by account, or by address for those who have not signed in. */
async function limitRequests(app: FastifyInstance, perMinute: number): Promise<void> {
  await app.register(rateLimit, {
    max: perMinute,
    timeWindow: '1 minute',
    hook: 'preHandler',
    enableDraftSpec: true,
    keyGenerator: ({ principal, ip }) => (principal.accountId === '' ? ip : principal.accountId),
    allowList: (request) => request.routeOptions.config.permission === null,
    errorResponseBuilder: (_request, { after }) =>
      Object.assign(new Error('too many requests'), {
        statusCode: 429,
        ...problem('TOO_MANY_REQUESTS', `try again in ${after}`),
      }),
  })
}
