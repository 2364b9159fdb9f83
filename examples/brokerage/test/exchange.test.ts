import { createServer, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { scaled } from '@malote/testing/slowness'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type BreakerState, createExchangeClient, type ExchangeClient } from '../src/b3/exchange-client.ts'
import type { Order } from '../src/orders/order.ts'

const order: Order = {
  orderId: '0198b1a0-4e5f-7d3a-9c41-5b8e2f60c7aa',
  accountId: 'a',
  asset: 'PETR4',
  side: 'BUY',
  amountCentavos: 100_000,
  quantity: 26_000_000,
  limitPriceCentavos: 3_742,
}
const signal = new AbortController().signal
const opened: { server: Server; client: ExchangeClient }[] = []
afterEach(async () => {
  vi.useRealTimers()
  for (const { server, client } of opened.splice(0)) {
    await client.close()
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
})

async function setup(answer: (response: ServerResponse) => void, timeoutMs = 10_000) {
  const { server, seen, listen } = aServer(answer)
  const states: BreakerState[] = []
  const client = createExchangeClient(await listen(), { timeoutMs, onBreaker: (state) => states.push(state) })
  opened.push({ server, client })
  return { server, client, seen, states, listen }
}
function aServer(answer: (response: ServerResponse) => void) {
  const seen = { requests: 0, connections: 0 }
  const server = createServer((_request, response) => {
    seen.requests++
    answer(response)
  })
  server.on('connection', () => seen.connections++)
  const listen = async (port = 0): Promise<string> => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
  }
  return { server, seen, listen }
}
const filled = (response: ServerResponse) =>
  response.end(JSON.stringify({ status: 'filled', reason: null, quantity: 5, priceCentavos: 7 }))
const unavailable = (response: ServerResponse) => response.writeHead(503).end('{}')
const failing = async (client: ExchangeClient, times: number) => {
  for (let n = 0; n < times; n++) await expect(client.execute(order, signal)).rejects.toThrow(/./)
}

describe('the exchange', () => {
  it('is asked over one connection, however many orders there are', async () => {
    const { client, seen } = await setup(filled)

    const answers = await Promise.all(Array.from({ length: 50 }, () => client.execute(order, signal)))

    expect(answers[49]).toEqual({ status: 'filled', fill: { quantity: 5, priceCentavos: 7 } })
    expect(seen).toEqual({ requests: 50, connections: 1 })
  })

  it('gets order after order without an answer to the first', async () => {
    const unanswered: ServerResponse[] = []
    const { client, seen } = await setup((response) => {
      unanswered.push(response)
      if (unanswered.length === 20) for (const one of unanswered) filled(one)
    })

    const answers = await Promise.all(Array.from({ length: 20 }, () => client.execute(order, signal)))

    expect(answers).toHaveLength(20)
    expect(seen.connections).toBe(1)
  })

  it('has its whole time for each answer, also when more orders are there than can be under way', async () => {
    const answerMs = scaled(150)
    let underWay = 0
    const most: number[] = []
    const { client } = await setup((response) => {
      most.push(++underWay)
      setTimeout(() => {
        underWay--
        filled(response)
      }, answerMs)
    }, 2.5 * answerMs)

    const answers = Promise.all(Array.from({ length: 350 }, () => client.execute(order, signal)))

    expect(await answers).toHaveLength(350)
    expect(Math.max(...most)).toBe(100)
  })

  it('that was away is asked again when it is back', async () => {
    const { server, client, listen } = await setup(filled)
    await client.execute(order, signal)
    const { port } = server.address() as AddressInfo
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
    await failing(client, 2)

    await listen(port)

    expect(await client.execute(order, signal)).toMatchObject({ status: 'filled' })
  })

  it('that has never heard of an order says so, which is an answer', async () => {
    const { client } = await setup((response) => response.writeHead(404).end('{}'))

    expect(await client.lookUp(order, signal)).toBeNull()
    expect(client.breaker()).toBe('closed')
  })

  it('that does not answer in time has given no answer', async () => {
    const { client } = await setup(() => {}, 200)

    await expect(client.execute(order, signal)).rejects.toThrow(/no answer within 200 ms/)
  })

  it('that fails five times is left alone, and asked once when it has had time', async () => {
    let answer = unavailable as (response: ServerResponse) => unknown
    const { client, seen, states } = await setup((response) => answer(response))
    // The breaker reads this clock; no real time decides.
    vi.useFakeTimers({ toFake: ['Date'] })
    await failing(client, 5)
    const wasReachable = client.isReachable()
    await failing(client, 3)
    const asked = seen.requests

    answer = filled
    vi.setSystemTime(Date.now() + 4_999)
    await failing(client, 1)
    const askedTooEarly = seen.requests - asked
    vi.setSystemTime(Date.now() + 1)
    await client.execute(order, signal)

    expect([wasReachable, asked, askedTooEarly]).toEqual([false, 5, 0])
    expect(states).toEqual(['open', 'half-open', 'closed'])
  })
})
