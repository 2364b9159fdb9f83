import type { Console } from '@malote/outbox-core/console'
import type { FastifyInstance } from 'fastify'

/** Where the library's own console stands: what waits, what is dead, and what an operator decides about it. */
export const outboxConsolePath = '/malote'

/** Who may look is the console's own business; bodies were read by Fastify before, and are handed on as they were. */
export function outboxConsoleRoutes(app: FastifyInstance, handle: Console): void {
  app.route({
    method: ['GET', 'POST'],
    url: `${outboxConsolePath}*`,
    config: { permission: null },
    schema: { hide: true },
    handler: async (request, reply) => {
      const body = request.method === 'POST' ? { body: JSON.stringify(request.body ?? null) } : {}
      const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [name, String(value)])
      const url = `http://${request.host}${request.url}`
      const answer = await handle(new Request(url, { method: request.method, headers, ...body }))
      return reply
        .code(answer.status)
        .headers(Object.fromEntries(answer.headers))
        .send(Buffer.from(await answer.arrayBuffer()))
    },
  })
}
