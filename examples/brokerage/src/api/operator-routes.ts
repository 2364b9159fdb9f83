import type { FastifyInstance, FastifyReply } from 'fastify'
import { z } from 'zod'
import { listTasks } from '../orders/manual-tasks.ts'
import type { ApiOptions } from './app.ts'
import { operation } from './openapi.ts'
import { detailOf } from './order-request.ts'
import { sendProblem } from './problem.ts'

/** What can be broken on purpose. `{}` restores everything. */
export const faultsBody: z.ZodType<Faults> = z.strictObject({
  breakBroker: z
    .boolean()
    .optional()
    .meta({ description: 'The broker stops, and starts again with what it had acknowledged.' }),
  breakWorker: z.boolean().optional().meta({ description: 'The relay stays away.' }),
  breakConsumer: z.boolean().optional().meta({ description: 'Every consumer fails every message.' }),
  duplicateEvents: z.boolean().optional().meta({ description: 'Everything is published twice.' }),
  successOnAttempt: z
    .int()
    .min(1)
    .max(20)
    .optional()
    .meta({ description: 'Consumers fail each message before this attempt.' }),
  b3: z
    .enum(['down', 'slow', 'rejecting', 'unknown'])
    .optional()
    .meta({ description: 'What the exchange does wrong.' }),
})

export interface Faults {
  readonly breakBroker?: boolean | undefined
  readonly breakWorker?: boolean | undefined
  readonly breakConsumer?: boolean | undefined
  readonly duplicateEvents?: boolean | undefined
  readonly successOnAttempt?: number | undefined
  readonly b3?: 'down' | 'slow' | 'rejecting' | 'unknown' | undefined
}

const killBody = z.strictObject({ role: z.enum(['relay', 'orders', 'balances', 'listeners', 'market', 'b3']) })

/** What waits for a person, and breaking things on purpose. */
export function operatorRoutes(app: FastifyInstance, { db, demo, controlUrl }: ApiOptions): void {
  const decide = { config: { permission: 'orders:decide' } }
  app.get(
    '/api/manual-tasks',
    { ...decide, ...operation('operations', 'Orders that wait for a person') },
    async () => ({
      tasks: await listTasks(db),
    }),
  )

  // Open in a demo, whose whole point it is; an administrator's anywhere else.
  const config = { permission: demo ? null : 'operations' }
  const breaking = operation('faults', 'Break things on purpose; {} restores', {
    body: faultsBody,
    example: { duplicateEvents: true, successOnAttempt: 3 },
  })
  app.post('/api/faults', { config, ...breaking }, (request, reply) =>
    forward(reply, 'faults', faultsBody, request.body),
  )
  const killing = operation('faults', 'Kill a role with SIGKILL; its supervisor starts it again', {
    body: killBody,
    example: { role: 'relay' },
  })
  app.post('/api/kill', { config, ...killing }, (request, reply) => forward(reply, 'kill', killBody, request.body))
  app.get(
    '/api/status',
    { config, ...operation('faults', 'What runs, what is broken, what happened last') },
    async (_request, reply) => {
      if (controlUrl === null) return sendProblem(reply, 'NOT_AVAILABLE')
      return (await fetch(`${controlUrl}/status`)).json()
    },
  )

  async function forward(reply: FastifyReply, path: string, schema: z.ZodType, body: unknown): Promise<unknown> {
    const parsed = schema.safeParse(body)
    if (!parsed.success) return sendProblem(reply, 'INVALID_REQUEST', detailOf(parsed.error))
    if (controlUrl === null) return sendProblem(reply, 'NOT_AVAILABLE')
    const response = await fetch(`${controlUrl}/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(parsed.data),
    })
    return reply.code(response.status).send(await response.json())
  }
}
