import { randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'

/**
 * Fewer than a thousand orders a second with answers within half a second may have under way (500), and as many as a transaction of
 * requests and the next one hold.
 */
export const clients = 128

export interface Load {
  /** Of the requests answered with 202 in the measured time. */
  readonly latenciesMs: readonly number[]
  readonly seconds: number
  readonly errors: number
  /** The measured time, on the clock of this machine. */
  readonly from: Date
  readonly to: Date
}

export interface LoadOptions {
  readonly apiUrl: string
  /** Each request is one of theirs, by turns. */
  readonly tokens: readonly string[]
  readonly warmUpMs: number
  readonly measuredMs: number
}

/** Every client sends its next order when the last was answered. What warms up is not counted. */
export async function sendOrders({ apiUrl, tokens, warmUpMs, measuredMs }: LoadOptions): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const startMs = performance.now()
  const from = new Date(Date.now() + warmUpMs)
  const latenciesMs: number[] = []
  let errors = 0
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let n = client; performance.now() - startMs < warmUpMs + measuredMs; n += clients) {
        const sentMs = performance.now()
        const status = await postOrder(apiUrl, agent, tokens[n % tokens.length] as string)
        if (status !== 202) errors++
        else if (sentMs - startMs >= warmUpMs) latenciesMs.push(performance.now() - sentMs)
      }
    }),
  )
  agent.destroy()
  return {
    latenciesMs: latenciesMs.toSorted((a, b) => a - b),
    seconds: measuredMs / 1_000,
    errors,
    from,
    to: new Date(from.getTime() + measuredMs),
  }
}

/** Sends so many orders at once. @returns how many were accepted */
export async function sendAtOnce(apiUrl: string, tokens: readonly string[]): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: tokens.length })
  const statuses = await Promise.all(tokens.map((token) => postOrder(apiUrl, agent, token)))
  agent.destroy()
  return statuses.filter((status) => status === 202).length
}

export function postOrder(apiUrl: string, agent: Agent, token: string): Promise<number> {
  const body = JSON.stringify({ amount: 12.5, asset: 'PETR4', type: 'BUY' })
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'idempotency-key': randomUUID(),
  }
  return new Promise((resolve, reject) => {
    const sent = request(`${apiUrl}/api/orders`, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
