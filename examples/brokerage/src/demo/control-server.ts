import { createServer, type IncomingMessage, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'
import { faultsBody, type Faults } from '../api/operator-routes.ts'
import type { Child } from '../supervisor/child.ts'
import type { RoleName, Supervisor } from '../supervisor/supervisor.ts'

export interface ControlOptions {
  readonly supervisor: Supervisor
  readonly services: Child
  /** For what a kill did to the messages. */
  readonly pool: pg.Pool
}

/** Takes faults and kills from the API's process, which cannot reach the others, and remembers what happened. */
export interface Control {
  readonly url: string
  said(sentence: string): void
  /** A role that has just started is told what is broken: it may be a new process. */
  roleStarted(name: RoleName, child: Child): void
  close(): Promise<void>
}

interface Happening {
  readonly at: string
  readonly text: string
}

const consumerRoles: readonly RoleName[] = ['orders', 'balances', 'listeners']
/** Longest wait for a killed role, and how long duplicates are counted after it is back. */
const patienceMs = 30_000
const settleMs = 2_500

export async function startControl({ supervisor, services, pool }: ControlOptions): Promise<Control> {
  let faults: Faults = {}
  let breaker = 'closed'
  const happened: Happening[] = []
  const said = (text: string): void => {
    happened.unshift({ at: new Date().toISOString(), text })
    happened.length = Math.min(happened.length, 50)
  }

  function tellRole(name: RoleName, child: Child | null): void {
    if (consumerRoles.includes(name)) {
      const attempt = faults.breakConsumer === true ? null : (faults.successOnAttempt ?? 0)
      child?.send({ type: 'fail-before-attempt', attempt })
    }
    if (name === 'relay') child?.send({ type: 'publish-twice', on: faults.duplicateEvents === true })
  }

  function noteBreaker(state: string): void {
    // Half-open it only tries; that it is still open is no news.
    if (state === 'half-open') return
    if (state !== breaker) said(`the breaker before the exchange is ${state}`)
    breaker = state
  }

  async function apply(next: Faults): Promise<unknown> {
    const before = faults
    faults = next
    if ((next.breakBroker === true) !== (before.breakBroker === true))
      services.send({ type: 'broker-outage', begins: next.breakBroker === true })
    if (next.breakWorker === true && before.breakWorker !== true) await supervisor.hold('relay')
    if (next.breakWorker !== true && before.breakWorker === true) supervisor.release('relay')
    for (const name of [...consumerRoles, 'relay'] as const) tellRole(name, supervisor.child(name))
    await tellExchange(supervisor, next)
    const broken = Object.entries(next).flatMap(([name, value]) =>
      value === undefined || value === false ? [] : [value === true ? name : `${name} ${String(value)}`],
    )
    said(broken.length === 0 ? 'everything is mended' : `broken on purpose: ${broken.join(', ')}`)
    return { faults }
  }

  async function kill(name: RoleName): Promise<unknown> {
    const before = await look(pool)
    const diedMs = performance.now()
    if (!(await supervisor.kill(name))) return { killed: false }
    void afterwards(name, before, diedMs).catch((error: unknown) => said(`${name}: ${String(error)}`))
    return { killed: true }
  }

  async function afterwards(name: RoleName, before: Look, diedMs: number): Promise<void> {
    while (supervisor.child(name) === null || !isRunning(supervisor, name)) {
      if (performance.now() - diedMs > patienceMs) throw new Error('it is not back yet')
      await pause(20)
    }
    const backMs = performance.now() - diedMs
    await pause(settleMs)
    const now = await look(pool)
    said(
      `${name} killed with ${String(before.inFlight)} messages in flight; back in ${(backMs / 1_000).toFixed(1)} s; ` +
        `${String(now.duplicates - before.duplicates)} duplicates absorbed`,
    )
  }

  const server = createServer((request, response) => {
    answer(request)
      .then((body) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body)))
      .catch((error: unknown) =>
        response.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify({ error: String(error) })),
      )
  })

  async function answer(request: IncomingMessage): Promise<unknown> {
    const route = `${request.method ?? ''} ${request.url ?? ''}`
    if (route === 'GET /status') return { roles: supervisor.status(), faults, breaker, happened }
    const body = await jsonOf(request)
    if (route === 'POST /faults') return apply(faultsBody.parse(body))
    if (route === 'POST /kill') return kill((body as { role: RoleName }).role)
    throw new Error(`no such control: ${route}`)
  }

  return {
    url: await listen(server),
    said,
    roleStarted: (name, child) => {
      if (name === 'orders')
        child.onEvent((event, detail) => {
          if (event === 'breaker') noteBreaker((detail as { state: string }).state)
        })
      tellRole(name, child)
      if (name === 'b3')
        tellExchange(supervisor, faults).catch((error: unknown) => said(`the exchange: ${String(error)}`))
    },
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const exchangeFault = {
  down: { down: true },
  slow: { slowMs: 10_000 },
  rejecting: { rejecting: true },
  unknown: { unknown: true },
} as const

async function tellExchange(supervisor: Supervisor, { b3 }: Faults): Promise<void> {
  const url = supervisor.child('b3')?.urls['b3']
  // On its way back: it is told when it has started.
  if (url === undefined) return
  await fetch(`${url}/faults`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(b3 === undefined ? {} : exchangeFault[b3]),
  })
}

interface Look {
  readonly inFlight: number
  readonly duplicates: number
}

async function look(pool: pg.Pool): Promise<Look> {
  const { rows } = await pool.query<Look>(
    `select (select count(*) from malote.messages) as "inFlight", (select count(*) from duplicate_deliveries) as duplicates`,
  )
  return rows[0] as Look
}

function isRunning(supervisor: Supervisor, name: RoleName): boolean {
  return supervisor.status().some((role) => role.name === name && role.state === 'running')
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return JSON.parse(text === '' ? '{}' : text)
}
