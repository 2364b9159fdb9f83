// Started by the chaos tests: a relay whose broker is its standard output, one JSON line for each accepted batch.
import pg from 'pg'
import { createRelay, streamOf } from '../../src/index.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as {
  url: string
  leaseMs: number
  presence: boolean
  blockAfter?: number
  maxAttempts?: number
  /** How a message whose body says "poison" ends the process. */
  poisonedBy?: 'exit' | 'memory'
}
const pool = new pg.Pool({ connectionString: options.url })
pool.on('error', () => {})
let published = 0

const relay = createRelay({
  pool,
  leaseMs: options.leaseMs,
  presence: options.presence,
  pollIntervalMs: 50,
  batchSize: 10,
  concurrency: 2,
  publishTimeoutMs: 1_000,
  maxAttempts: options.maxAttempts ?? 10,
  onEvent: ({ type }) => {
    if (type === 'lanes.acquired' || type === 'lanes.lost') process.stdout.write(`${JSON.stringify({ event: type })}\n`)
  },
  publisher: {
    name: 'stdout',
    close: () => Promise.resolve(),
    publish: async (batch) => {
      if (batch.some(({ body }) => body === '"poison"')) die()
      await new Promise((resolve) => setTimeout(resolve, 10))
      const messages = batch.map((message) => ({
        id: message.id,
        order: streamOf(message),
        body: String(message.body),
      }))
      process.stdout.write(`${JSON.stringify({ messages })}\n`)
      published += batch.length
      if (options.blockAfter !== undefined && published >= options.blockAfter) {
        delete (options as { blockAfter?: number }).blockAfter
        const endMs = performance.now() + options.leaseMs * 2
        while (performance.now() < endMs); // A blocked event loop: no timer, no heartbeat, no notice of the lost lease.
      }
      return batch.map(({ id }) => ({ id, status: 'accepted' }))
    },
  },
})
function die(): void {
  if (options.poisonedBy === 'exit') process.exit(1)
  const kept: number[][] = []
  for (;;) kept.push(Array.from({ length: 100_000 }, (_, n) => n + kept.length))
}

relay.start()
process.on('SIGTERM', () => void relay.stop().then(() => process.exit(0)))
