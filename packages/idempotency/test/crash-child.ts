// Run by crash.chaos.test.ts: sends one request and kills itself, or waits to be stopped, at the point named.
import pg from 'pg'
import { idempotencyOn, key, placeOrder, send } from './callers.ts'

const [url, mode, point] = process.argv.slice(2) as [string, string, string]
const pool = new pg.Pool({ connectionString: url })
const foreignSystem = new pg.Pool({ connectionString: url })
const die = (): void => void process.kill(process.pid, 'SIGKILL')
const at = (name: string): void => {
  if (name === point) die()
}

// The client is ours to hand in: it dies before or after the statement of the named point.
const connect = pool.connect.bind(pool) as () => Promise<pg.PoolClient>
const watched = new WeakSet<pg.PoolClient>()
Object.assign(pool, {
  connect: async () => {
    const client = await connect()
    if (watched.has(client)) return client
    watched.add(client)
    const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
    return Object.assign(client, {
      query: async (text: string, values?: unknown[]) => {
        if (!/finish_(key_)?v1/.test(text)) return query(text, values)
        at('before completing')
        // The two statements of this round trip, one at a time, to die between them.
        await query(text.replace(/; commit$/, ''))
        at('before COMMIT')
        const result = await query('commit')
        at('after COMMIT')
        return result
      },
    })
  },
})

const idem = idempotencyOn(pool)
const atomic = idem.atomic({ operation: 'createOrder' }, async (call) => {
  at('before the handler')
  const response = await placeOrder(call)
  at('after the first effect')
  return response
})

const batch = idem.batch({ operation: 'createOrder' }, async ({ tx, requests }) => {
  at('before the handler')
  const responses = []
  for (const request of requests) responses.push(await placeOrder({ tx, request }))
  at('after the first effect')
  return responses
})

const lease = (onLeaseExpired: 'hold' | 'resume') =>
  idem.lease({ operation: 'createOrder', onLeaseExpired, leaseMs: 600 }, async (call) => {
    at('after the claim')
    await foreignSystem.query('insert into foreign_calls values ($1)', [call.downstreamKey('buy')])
    await call.saveRecovery('bought')
    at('after the foreign call')
    if (point === 'stopped') {
      process.stdout.write('in the handler\n')
      await new Promise((resolve) => process.stdin.once('data', resolve))
    }
    return call.commit((tx) => placeOrder({ tx, request: call.request }))
  })

if (mode === 'batch') await Promise.all(['1', '2', '3'].map((last) => send(batch, { key: `${key}-${last}` })))
const answer = await send(mode === 'atomic' ? atomic : lease(mode === 'resume' ? 'resume' : 'hold'))
process.stdout.write(`answered ${String(answer.status)}\n`)
await pool.end()
await foreignSystem.end()
process.stdin.destroy()
