import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { openApiFragments } from '@malote/idempotency'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'

/** What an operation's description is made of; the schemas are those that check the request. */
export interface OperationParts {
  readonly body?: z.ZodType
  readonly query?: z.ZodType
  readonly params?: z.ZodType
  /** An example for the body, which "try it out" starts with. */
  readonly example?: unknown
  readonly description?: string
  /** Whether it takes an `Idempotency-Key`. */
  readonly idempotent?: boolean
  /** @defaultValue 200 */
  readonly success?: number
  /** Of what it answers. @defaultValue "application/json" */
  readonly mediaType?: string
}

const fragments = openApiFragments()

/** The library's refusals, in statuses that are our own refusals' too. */
const refusals = Object.fromEntries(
  Object.entries(fragments.responses).map(([status, response]) => [status, { ...response, content: problemContent() }]),
)

/** Route options that put an operation into the API's description. */
export function operation(
  tag: string,
  summary: string,
  parts: OperationParts = {},
): { schema: Record<string, unknown> } {
  const { body, query, params, example, description, idempotent, success = 200, mediaType } = parts
  return {
    schema: {
      tags: [tag],
      summary,
      ...(description === undefined ? {} : { description }),
      ...(body === undefined
        ? {}
        : { body: { ...jsonSchema(body), ...(example === undefined ? {} : { examples: [example] }) } }),
      ...(query === undefined ? {} : { querystring: jsonSchema(query) }),
      ...(params === undefined ? {} : { params: jsonSchema(params) }),
      ...(idempotent === true
        ? {
            headers: {
              type: 'object',
              required: ['Idempotency-Key'],
              properties: {
                'Idempotency-Key': {
                  ...(fragments.parameter['schema'] as object),
                  description: fragments.parameter['description'],
                  example: 'qualquer-string-unica',
                },
              },
            },
          }
        : {}),
      response: {
        [success]: { description: 'Done, or found', content: { [mediaType ?? 'application/json']: { schema: {} } } },
        ...(idempotent === true ? refusals : {}),
        default: {
          description: 'Refused; `code` says why',
          content: problemContent(),
        },
      },
    },
  }
}

/** What `sendProblem` and the library send: the library's has a `detail` always. */
function problemContent(): Record<string, unknown> {
  const schema = {
    type: 'object',
    required: ['type', 'title', 'status', 'code'],
    properties: {
      type: { type: 'string', format: 'uri-reference' },
      title: { type: 'string' },
      status: { type: 'integer' },
      code: { type: 'string', description: 'Stable name of the reason: switch on this.' },
      detail: { type: 'string' },
    },
  }
  return { 'application/problem+json': { schema } }
}

function jsonSchema(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return rest
}

/** Text for PostgreSQL, which knows no NUL. */
// oxlint-disable-next-line no-control-regex -- it is the one that is meant
export const storable: RegExp = /^[^\u0000]*$/

export const idParams: z.ZodType<{ id: string }> = z.object({ id: z.uuid() })

/** `/openapi.json` (OpenAPI 3.1, made from the routes' own schemas) and `/swagger`, where each operation can be tried. */
export async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Brokerage',
        version: '1.0.0',
        description:
          'Orders travel to the exchange and balances settle, through a transactional outbox and idempotent consumers. Every refusal is application/problem+json (RFC 9457).',
      },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'In a demo: fake-token, or fake-admin-token' },
        },
      },
      security: [{ bearer: [] }],
    },
    hideUntagged: true,
  })
  app.addHook('onRoute', (route) => {
    if (route.url.startsWith('/swagger')) route.config = { ...route.config, permission: null }
    // What is open to all is described so: clients need not sign in for it.
    if (route.config?.permission === null && route.schema !== undefined)
      route.schema = { ...route.schema, security: [] }
  })
  await app.register(swaggerUi, {
    routePrefix: '/swagger',
    uiConfig: { persistAuthorization: true, tryItOutEnabled: true, docExpansion: 'list' },
    staticCSP: true,
  })
  // The pages are for everybody, and signing in is done on them.
  app.get('/openapi.json', { config: { permission: null }, schema: { hide: true } }, () => app.swagger())
  app.get('/docs', { config: { permission: null }, schema: { hide: true } }, (_request, reply) =>
    reply.redirect('/swagger'),
  )
}
