import { createServer, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import { prometheusText } from '../prometheus.ts'
import type { ServedOutbox } from './served-outbox.ts'

export interface HealthParts {
  readonly host: string
  readonly port: number
  readonly outboxes: readonly ServedOutbox[]
}

export interface HealthServer {
  readonly port: number
  close(): Promise<void>
}

/**
 * Serves `/healthz` (the process answers: restart it when it does not), `/readyz` (every relay has its session with its database;
 * an outage of the broker is no reason to restart anything) and `/metrics`.
 */
export async function serveHealth({ host, port, outboxes }: HealthParts): Promise<HealthServer> {
  const server: Server = createServer((request, response) => {
    const path = request.url?.split('?')[0]
    if (request.method !== 'GET') return answer(response, 405, 'only GET\n')
    if (path === '/healthz') return answer(response, 200, 'ok\n')
    if (path === '/readyz') return answerReadiness(response, outboxes)
    if (path !== '/metrics') return answer(response, 404, '/healthz, /readyz or /metrics\n')
    metricsOf(outboxes).then(
      (text) => answer(response, 200, text),
      () => answer(response, 500, 'no metrics\n'),
    )
  })
  server.listen(port, host)
  await once(server, 'listening') // Rejects when the port is taken.
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function answerReadiness(response: ServerResponse, outboxes: readonly ServedOutbox[]): void {
  const without = outboxes.filter((outbox) => !outbox.isReady())
  if (without.length === 0) return answer(response, 200, 'ready\n')
  const names = without.flatMap(({ name }) => name ?? [])
  answer(response, 503, `no session${names.length === 0 ? '' : `: ${names.join(', ')}`}\n`)
}

async function metricsOf(outboxes: readonly ServedOutbox[]): Promise<string> {
  // What is wrong with a database stands in the log.
  const look = async (outbox: ServedOutbox) => [outbox.name ?? null, await outbox.status().catch(() => null)] as const
  const [first, ...others] = await Promise.all(outboxes.map(look))
  if (first === undefined || (others.length === 0 && first[0] === null)) return prometheusText(first?.[1] ?? null)
  return prometheusText(new Map([first, ...others].map(([name, status]) => [name ?? '', status])))
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    'cache-control': 'no-store',
  })
  response.end(text)
}
