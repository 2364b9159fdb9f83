import type pg from 'pg'
import type {
  HandlerResponse,
  IdempotencyOptions,
  IdempotentOperation,
  RequestBatchCall,
  RequestBatchOptions,
} from '../src/index.ts'
import { alice, type Answer, type Caller, idempotencyOn, send, type SendOptions } from './callers.ts'

/** What the handler of a batch does with one request. */
export type Deed = 'order' | 'refuse' | 'fail' | 'throw' | 'break the commit' | 'spoil the response'

export interface Order extends Caller {
  readonly name: string
  readonly does: Deed
}

/** `note` fails at COMMIT when it is 'break the commit', and at once when it is 'throw'. */
export const createNotes = `
  create table notes (id bigint generated always as identity primary key, name text not null, note text not null check (note <> 'throw'));
  create table allowed (note text primary key);
  insert into allowed values ('order'), ('refuse'), ('fail'), ('spoil the response');
  alter table notes add foreign key (note) references allowed deferrable initially deferred`

/** One insert for all of them, and an answer for each. */
export async function noteAll({
  tx,
  requests,
}: Pick<RequestBatchCall<pg.ClientBase, Caller>, 'tx' | 'requests'>): Promise<HandlerResponse[]> {
  const orders = requests as readonly Order[]
  await tx.query('insert into notes (name, note) select * from unnest($1::text[], $2::text[])', [
    orders.map(({ name }) => name),
    orders.map(({ does }) => does),
  ])
  return orders.map(({ name, does }) => ({
    status: does === 'refuse' ? 422 : does === 'fail' ? 500 : 201,
    body: name,
    ...(does === 'spoil the response' && { headers: { location: '/clientes/李' } }),
  }))
}

type Handle = (call: RequestBatchCall<pg.PoolClient, Caller>) => Promise<HandlerResponse[]>

export interface BatchUnderTest {
  /** The names of the requests of each call of the handler. */
  readonly calls: string[][]
  readonly post: (
    name: string,
    does?: Deed,
    given?: Omit<SendOptions, 'caller'> & { tenant?: string },
  ) => Promise<Answer>
  readonly operation: IdempotentOperation<Caller>
  readonly outcomes: () => string[]
}

/** A batch operation, what its handler was called with, and a way to send it an order. */
export function batchOn(
  pool: pg.Pool,
  handle: Handle = noteAll,
  options: Partial<RequestBatchOptions<Caller>> = {},
  change: Partial<IdempotencyOptions<pg.Pool, Caller>> = {},
): BatchUnderTest {
  const calls: string[][] = []
  const idempotency = idempotencyOn(pool, change)
  const operation = idempotency.batch({ operation: 'note', ...options }, (call) => {
    calls.push(call.requests.map((request) => (request as Order).name))
    return handle(call)
  })
  const post: BatchUnderTest['post'] = (name, does = 'order', given = {}) => {
    const caller: Order = { ...alice, tenant: given.tenant ?? alice.tenant, name, does }
    return send(operation, { key: keyOf(name), body: { name }, ...given, caller })
  }
  return { calls, post, operation, outcomes: idempotency.outcomes }
}

export const keyOf = (name: string): string => `a key of at least 16 characters for ${name}`.replaceAll(' ', '-')

export const brief = (answer: Answer): string =>
  `${String(answer.status)} ${answer.text}${'idempotency-replayed' in answer.headers ? ' again' : ''}`

/** What is noted, in the order it was written. */
export async function notesIn(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>('select name from notes order by id')
  return rows.map(({ name }) => name)
}
