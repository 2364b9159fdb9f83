import { randomUUID } from 'node:crypto'
import { eventually } from '@malote/outbox-core/testing'
import { scaled } from '../../../testing/slowness.ts'
import { expect } from 'vitest'
import type { Faults } from '../src/api/operator-routes.ts'
import type { BrokerName } from '../src/demo/arguments.ts'
import { checkInvariants } from '../src/demo/invariants.ts'
import { isQuiet, measure, verify } from '../src/demo/measure.ts'
import { startBrokerage } from '../src/demo/start-brokerage.ts'
import type { RoleName } from '../src/supervisor/supervisor.ts'

/** A brokerage of real processes, spoken to as its customers and operators do. */
export interface Rig {
  /** Sends a request until it is answered, under one key. @returns the order's id */
  place(wanted?: Partial<Wanted>, key?: string): Promise<string>
  order(id: string): Promise<Record<string, unknown>>
  /** Waits until the order is in one of these states. */
  whenIn(id: string, ...states: readonly string[]): Promise<Record<string, unknown>>
  cancel(id: string): Promise<number>
  decide(id: string, status: 'SETTLED' | 'COMPENSATED'): Promise<number>
  tasks(): Promise<readonly string[]>
  break(faults: Faults): Promise<void>
  /** Kills with SIGKILL; the supervisor starts it again. */
  kill(role: RoleName): Promise<void>
  /** Takes the database away, and gives it back. */
  databaseOutage(begins: boolean): void
  health(): Promise<number>
  duplicates(): Promise<number>
  /** Waits until nothing is on its way, and checks every invariant of the demo. */
  expectAllWell(): Promise<void>
  stop(): Promise<void>
}

export interface Wanted {
  readonly amount: number
  readonly asset: string
  readonly type: 'BUY' | 'SELL'
  /** The customer's own trace. */
  readonly traceparent: string
}

/** Age at which an order goes before a person: long enough that no busy machine gets there by itself. */
const orderTimeoutMs: number = Math.min(scaled(8_000), 20_000)

const customer = { authorization: 'Bearer fake-token' }
const administrator = { authorization: 'Bearer fake-admin-token' }
const json = { 'content-type': 'application/json' }

export async function startRig(broker: BrokerName, env: Readonly<Record<string, string>> = {}): Promise<Rig> {
  const brokerage = await startBrokerage({
    broker,
    witness: true,
    control: true,
    env: { ORDER_TIMEOUT_MS: String(orderTimeoutMs), B3_RETRY_MS: '100', B3_BREAKER_OPEN_MS: '300', ...env },
  })
  const { apiUrl, pool, supervisor, services, tally } = brokerage
  const promised = new Set<string>()

  async function call(method: string, path: string, headers: Record<string, string>, body?: unknown) {
    const response = await fetch(`${apiUrl}${path}`, {
      method,
      headers: body === undefined ? headers : { ...json, ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(scaled(10_000)),
    })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  const order = (id: string) => call('GET', `/api/orders/${id}`, customer).then(({ body }) => body)

  return {
    place: async ({ traceparent, ...wanted } = {}, key = randomUUID()) => {
      const trace = traceparent === undefined ? {} : { traceparent }
      const headers: Record<string, string> = { ...customer, ...trace, 'idempotency-key': key }
      const body = { amount: 100, asset: 'PETR4', type: 'BUY', ...wanted }
      const answer = await eventually(
        async () => {
          const seen = await call('POST', '/api/orders', headers, body)
          // Not now: in progress under this key, or something is away. Anything else is an answer.
          expect([409, 500, 503]).not.toContain(seen.status)
          return seen
        },
        { patienceMs: 60_000, intervalMs: 100 },
      )
      expect(answer).toMatchObject({ status: 202 })
      const id = String(answer.body['id'])
      promised.add(id)
      return id
    },
    order,
    whenIn: (id, ...states) =>
      eventually(
        async () => {
          const seen = await order(id)
          expect(states).toContain(seen['status'])
          return seen
        },
        { patienceMs: orderTimeoutMs + 60_000, intervalMs: 50 },
      ),
    cancel: async (id) => (await call('DELETE', `/api/orders/${id}`, customer)).status,
    decide: async (id, status) =>
      (await call('PUT', `/api/orders/${id}/status`, administrator, { status, note: 'by phone' })).status,
    tasks: async () => {
      const { body } = await call('GET', '/api/manual-tasks', administrator)
      return (body['tasks'] as readonly { orderId: string }[]).map(({ orderId }) => orderId)
    },
    break: async (faults) => {
      expect(await call('POST', '/api/faults', {}, faults)).toMatchObject({ status: 200 })
    },
    kill: async (role) => {
      // One that is on its way back from an earlier kill is killed when it is there.
      await eventually(async () => expect(await supervisor.kill(role)).toBe(true))
    },
    databaseOutage: (begins) => services.send({ type: 'database-outage', begins }),
    health: async () => (await fetch(`${apiUrl}/readyz`)).status,
    duplicates: async () => (await measure(pool)).duplicateDeliveries,
    expectAllWell: async () => {
      const measured = await eventually(
        async () => {
          const now = await measure(pool)
          expect({ ...now, quiet: isQuiet(now) }).toMatchObject({ quiet: true })
          return now
        },
        { patienceMs: 90_000, intervalMs: 200 },
      )
      const feed = { accepted: 0, refused: 0, replayed: 0, orderIds: promised, mismatchedReplays: 0 }
      const evidence = { feed, measured, verified: await verify(pool, promised), relayKills: 0, relayKillsWanted: 0 }
      const invariants = checkInvariants({ ...evidence, brokerOutage: false, ...tally })
      expect(invariants.filter(({ holds }) => !holds)).toEqual([])
    },
    stop: () => brokerage.stop(),
  }
}
