import type pg from 'pg'
import {
  createIdempotency,
  type HandlerResponse,
  type HttpResponse,
  type Idempotency,
  type IdempotencyEvent,
  type IdempotencyOptions,
  type IdempotentOperation,
} from '../src/index.ts'

/** Who calls, as an authentication hook would have found out. */
export interface Caller {
  readonly tenant: string
  readonly subject: string
}

export const alice: Caller = { tenant: 'acme', subject: 'alice' }
export const bob: Caller = { tenant: 'acme', subject: 'bob' }
export const mallory: Caller = { tenant: 'evil', subject: 'alice' }
export const key = '0b1f7a52-6d0e-4b6f-9f3e-000000000001'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

export interface SendOptions {
  readonly caller?: Caller
  readonly key?: string | readonly string[] | null
  readonly body?: unknown
  readonly method?: string
  readonly url?: string
  readonly contentType?: string
}

/** Sends a request to an operation as an entry point would. A string body goes as it is, anything else as JSON. */
export async function send(operation: IdempotentOperation<Caller>, options: SendOptions = {}): Promise<Answer> {
  const body = options.body ?? { amount: 1000 }
  const keys: readonly string[] = options.key === null ? [] : [options.key ?? key].flat()
  const headers: Readonly<Record<string, readonly string[]>> = {
    'idempotency-key': keys,
    'content-type': [options.contentType ?? 'application/json'],
  }
  const response: HttpResponse = await operation(
    {
      method: options.method ?? 'POST',
      url: options.url ?? '/v1/orders',
      headers: (name) => headers[name] ?? [],
      body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
    },
    options.caller ?? alice,
  )
  const text = response.body === null ? '' : Buffer.from(response.body).toString()
  return { status: response.status, headers: response.headers, text }
}

/** An `Idempotency` over a pg pool whose callers are given, and the outcomes it reported. */
export function idempotencyOn(
  pool: pg.Pool,
  change: Partial<IdempotencyOptions<pg.Pool, Caller>> = {},
): Idempotency<pg.Pool, Caller> & { readonly events: IdempotencyEvent[]; readonly outcomes: () => string[] } {
  const events: IdempotencyEvent[] = []
  const idempotency = createIdempotency({
    db: pool,
    tenant: (caller: Caller) => caller.tenant,
    subject: (caller: Caller) => caller.subject,
    pepper: 'a pepper of at least 16 bytes',
    onEvent: (event) => events.push(event),
    ...change,
  })
  const outcomes = (): string[] => events.flatMap((event) => (event.type === 'request' ? [event.outcome] : []))
  return { ...idempotency, events, outcomes }
}

export const createOrders = `create table orders (
  id bigint generated always as identity primary key, tenant text not null default 'acme', amount bigint)`

/** The handler of most tests: one row, and an answer that names it. */
export async function placeOrder(call: {
  readonly tx: pg.ClientBase
  readonly request: Caller
}): Promise<HandlerResponse> {
  const { rows } = await call.tx.query<{ id: string }>('insert into orders (tenant) values ($1) returning id', [
    call.request.tenant,
  ])
  const id = rows[0]?.id as string
  return { status: 201, headers: { location: `/v1/orders/${id}` }, body: { id }, resourceRef: id }
}

export async function countOrders(pool: pg.Pool): Promise<number> {
  return Number((await pool.query('select count(*) from orders')).rows[0].count)
}
