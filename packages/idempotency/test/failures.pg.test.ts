import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import fastify, { type FastifyRequest } from 'fastify'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { idempotentRoute } from '../src/frameworks/fastify.ts'
import { createIdempotency } from '../src/index.ts'
import { countOrders, createOrders, idempotencyOn, key, placeOrder, send } from './callers.ts'
import { gate } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.truncate('orders, malote.idempotency_keys'))
afterAll(() => database.drop())

const operation = 'createOrder'
const codeOf = (answer: { text: string }) => (JSON.parse(answer.text) as { code: string }).code

/** A proxy before PostgreSQL that cuts the connection at COMMIT: before the server has it, or before the client hears of it. */
async function proxyThatCuts(
  when: 'before COMMIT' | 'after COMMIT',
  cuts = Infinity,
): Promise<{ server: Server; port: number }> {
  const target = new URL(database.url)
  const server = createServer((client: Socket) => {
    const upstream = connect(Number(target.port), target.hostname)
    let cut = false
    const mayCut = --cuts >= 0
    client.on('error', () => {}).on('close', () => upstream.destroy())
    upstream.on('error', () => {}).on('close', () => client.destroy())
    client.on('data', (data) => {
      // The statement itself, not "read committed".
      cut ||= mayCut && data.toString('latin1').includes('commit\0')
      if (cut && when === 'before COMMIT') client.destroy()
      else upstream.write(data)
    })
    upstream.on('data', (data) => (cut ? client.destroy() : client.write(data)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

describe('a connection lost at COMMIT', () => {
  it.each(['before COMMIT', 'after COMMIT'] as const)(
    '21. %s is answered 503, and a retry finds the truth',
    async (when) => {
      const { server, port } = await proxyThatCuts(when)
      const cut = idempotencyOn(
        database.pool({ connectionString: database.url.replace(/:\d+\//, `:${String(port)}/`) }),
      )

      const unknown = await send(cut.atomic({ operation }, placeOrder))
      const retry = await send(idempotencyOn(pool).atomic({ operation, waitMs: 5_000 }, placeOrder))
      server.close()

      expect([unknown.status, codeOf(unknown), unknown.headers['retry-after']]).toEqual([503, 'commit-unknown', '1'])
      expect([retry.status, 'idempotency-replayed' in retry.headers]).toEqual([201, when === 'after COMMIT'])
      expect([await countOrders(pool), cut.outcomes()]).toEqual([1, ['unavailable']])
    },
  )
})

describe('the end of a transaction that has found a stored response', () => {
  it('may be lost: the response is sent all the same, and the next request has another connection', async () => {
    const first = await send(idempotencyOn(pool).atomic({ operation }, placeOrder))
    const { server, port } = await proxyThatCuts('before COMMIT', 1)
    const single = database.pool({ max: 1, connectionString: database.url.replace(/:\d+\//, `:${String(port)}/`) })
    const orders = idempotencyOn(single).atomic({ operation }, placeOrder)

    const replays = [await send(orders), await send(orders)]
    server.close()

    expect(replays.map(({ status, text }) => [status, text])).toEqual([
      [201, first.text],
      [201, first.text],
    ])
  })
})

describe('a claim in lease mode whose acknowledgement is lost', () => {
  it.each(['before COMMIT', 'after COMMIT'] as const)('%s resolves itself: the handler runs, once', async (when) => {
    const { server, port } = await proxyThatCuts(when, 1)
    const idempotency = idempotencyOn(
      database.pool({ connectionString: database.url.replace(/:\d+\//, `:${String(port)}/`) }),
    )
    let runs = 0

    const answer = await send(
      idempotency.lease({ operation }, ({ attempt }) => {
        runs++
        return Promise.resolve({ status: 201, body: { attempt } })
      }),
    )
    server.close()

    expect([answer.status, answer.text, runs]).toEqual([201, '{"attempt":1}', 1])
  })
})

describe('a failure inside the transaction', () => {
  it('25. a backend that is terminated under a handler costs one 503; its connection is not used again', async () => {
    const small = database.pool({ max: 1 })
    let terminate = true
    const orders = idempotencyOn(small).atomic({ operation }, async (call) => {
      const response = await placeOrder(call)
      const { rows } = await call.tx.query('select pg_backend_pid() as pid')
      if (terminate) await pool.query('select pg_terminate_backend($1)', [rows[0].pid])
      terminate = false
      await call.tx.query('select 1')
      return response
    })

    expect([(await send(orders)).status, (await send(orders)).status]).toEqual([503, 201])
    expect(await countOrders(pool)).toBe(1)
  })

  it('26. a response that cannot be stored takes the effects with it', async () => {
    await database.owner.query(`
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'disk full' using errcode = '53100'; end $$;
      create trigger refuse before insert on malote.idempotency_keys for each row execute function refuse()`)
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

    const failed = await send(orders)
    await database.owner.query('drop trigger refuse on malote.idempotency_keys; drop function refuse')

    expect([failed.status, await countOrders(pool)]).toEqual([503, 0])
    expect((await send(orders)).status).toBe(201)
  })

  it('26. a deferred constraint that fails at COMMIT is an error, not an unknown outcome', async () => {
    await pool.query(
      'create table parents (id int primary key); create table children (id int references parents deferrable initially deferred)',
    )
    const orders = idempotencyOn(pool).atomic({ operation }, async ({ tx }) => {
      await tx.query('insert into children values (1)')
      return { status: 201 }
    })

    await expect(send(orders)).rejects.toMatchObject({ code: '23503' })
    expect((await pool.query('select * from malote.idempotency_keys')).rows).toEqual([])
  })

  it('15. conflicts under SERIALIZABLE run the handler again in a new transaction, with one effect each', async () => {
    await pool.query('create table counters (n int); insert into counters values (0)')
    const opened = gate()
    let arrived = 0
    const orders = idempotencyOn(pool).atomic({ operation, isolation: 'serializable' }, async (call) => {
      const { rows } = await call.tx.query('select n from counters')
      if (++arrived === 2) opened.open()
      await opened.passed
      await call.tx.query('update counters set n = $1', [rows[0].n + 1])
      return placeOrder(call)
    })

    const answers = await Promise.all([send(orders, { key: `${key}-a` }), send(orders, { key: `${key}-b` })])

    expect(answers.map(({ status }) => status)).toEqual([201, 201])
    expect([(await pool.query('select n from counters')).rows, await countOrders(pool)]).toEqual([[{ n: 2 }], 2])
    expect(arrived).toBe(3)
  })

  it('28. a handler that overruns its time commits nothing, however late it returns', async () => {
    const slow = idempotencyOn(pool).atomic({ operation, timeoutMs: 100 }, async (call) => {
      const response = await placeOrder(call)
      if (!call.signal.aborted) await new Promise((resolve) => call.signal.addEventListener('abort', resolve))
      return response
    })

    const late = await send(slow)

    expect([late.status, await countOrders(pool)]).toEqual([503, 0])
    expect((await send(idempotencyOn(pool).atomic({ operation, waitMs: 5_000 }, placeOrder))).status).toBe(201)
  })

  it('17. leaves nothing behind in its session: no lock, no setting', async () => {
    const single = database.pool({ max: 1 })
    const settings = `select current_setting('idle_in_transaction_session_timeout') as idle, current_setting('lock_timeout') as lock`
    const before = (await single.query(settings)).rows
    const orders = idempotencyOn(single).atomic({ operation }, placeOrder)
    await send(orders)
    await send(orders)

    expect((await single.query(settings)).rows).toEqual(before)
    expect(
      (await single.query(`select * from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`)).rows,
    ).toEqual([])
  })

  it('8. an expired key that is purged between the claim and its removal is free', async () => {
    await send(idempotencyOn(pool).atomic({ operation }, placeOrder))
    await pool.query(`update malote.idempotency_keys set expires_at = now() - interval '1 second'`)
    const single = database.pool({ max: 1 })
    const connectPool = single.connect.bind(single) as () => Promise<pg.PoolClient>
    Object.assign(single, {
      connect: async () => {
        const client = await connectPool()
        const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
        return Object.assign(client, {
          query: async (text: string, values?: unknown[]) => {
            const result = await query(text, values)
            if (text.includes('claim_key_v1'))
              await pool.query('delete from malote.idempotency_keys where state = $1', ['completed'])
            return result
          },
        })
      },
    })

    const answer = await send(idempotencyOn(single).atomic({ operation }, placeOrder))

    expect([answer.status, 'idempotency-replayed' in answer.headers, await countOrders(pool)]).toEqual([201, false, 2])
  })
})

describe('a client that goes away', () => {
  it('27. in the middle of the handler leaves a request that commits; its retry is replayed', async () => {
    const [entered, opened, committed] = [gate(), gate(), gate()]
    const idem = createIdempotency({
      db: pool,
      tenant: () => 'acme',
      subject: (_request: FastifyRequest) => 'alice',
      pepper: 'p'.repeat(16),
      onEvent: () => committed.open(),
    })
    const app = fastify()
    app.post(
      '/orders',
      idempotentRoute(
        idem.atomic({ operation }, async ({ tx }) => {
          await tx.query('insert into orders default values')
          entered.open()
          await opened.passed
          return { status: 201, body: 'made' }
        }),
      ),
    )
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const request = {
      method: 'POST',
      headers: { 'idempotency-key': key, 'content-type': 'application/json' },
      body: '{}',
    }
    const controller = new AbortController()
    const gone = fetch(`${url}/orders`, { ...request, signal: controller.signal }).catch((error: unknown) => error)
    await entered.passed
    controller.abort()
    await gone
    opened.open()
    await committed.passed

    const retry = await fetch(`${url}/orders`, request)

    expect([retry.status, await retry.text(), retry.headers.get('idempotency-replayed')]).toEqual([201, 'made', 'true'])
    expect(await countOrders(pool)).toBe(1)
    await app.close()
  })
})
