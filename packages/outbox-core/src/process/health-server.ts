import { createServer, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import { prometheusText } from '../prometheus.ts'
import type { OutboxStatus } from '../status.ts'

export interface HealthParts {
  readonly host: string
  readonly port: number
  /** A session with the database is there, and nobody said stop. */
  readonly isReady: () => boolean
  readonly status: () => Promise<OutboxStatus>
}

export interface HealthServer {
  readonly port: number
  close(): Promise<void>
}

/**
 * Serves `/healthz` (the process answers: restart it when it does not), `/readyz` (the relay has its session with the database;
 * an outage of the broker is no reason to restart anything) and `/metrics`.
 */
export async function serveHealth({ host, port, isReady, status }: HealthParts): Promise<HealthServer> {
  const server: Server = createServer((request, response) => {
    const path = request.url?.split('?')[0]
    if (request.method !== 'GET') return answer(response, 405, 'only GET\n')
    if (path === '/healthz') return answer(response, 200, 'ok\n')
    if (path === '/readyz') return isReady() ? answer(response, 200, 'ready\n') : answer(response, 503, 'no session\n')
    if (path !== '/metrics') return answer(response, 404, '/healthz, /readyz or /metrics\n')
    status().then(
      (now) => answer(response, 200, prometheusText(now)),
      () => answer(response, 200, prometheusText(null)), // What is wrong with the database stands in the log.
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

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    'cache-control': 'no-store',
  })
  response.end(text)
}
