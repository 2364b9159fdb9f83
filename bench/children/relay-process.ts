// Runs one relay in a process of its own and reports once asked: for what only a process can tell (CPU, memory, a second core).
import { createRelay, type Publisher } from '@malote/outbox-core'
import pg from 'pg'
import { noopPublisher } from '../peers/malote.ts'
import type { RelayProcessCommand, RelayProcessReport, RelayProcessSetup } from './relay-child.ts'

const setup = JSON.parse(process.argv[2] ?? '{}') as RelayProcessSetup
const pool = new pg.Pool({ connectionString: setup.url, max: 5 })
let published = 0
let cpuAtFirst = process.cpuUsage()
const ids = new Set<string>()
let duplicates = 0

const relay = createRelay({ pool, publisher: publisher(), durableSettles: true })

process.on('message', (command: RelayProcessCommand) => {
  if (command === 'start') relay.start()
  if (command === 'report') report()
  if (command === 'stop') void stop()
})
process.once('disconnect', () => process.exit())
process.send?.({ ready: true })

function publisher(): Publisher {
  if (setup.broker === 'hung') return { ...noopPublisher(() => {}), publish: hang }
  return noopPublisher((batch) => {
    if (published === 0) cpuAtFirst = process.cpuUsage()
    published += batch.length
    if (setup.rememberIds !== true) return
    for (const { id } of batch) {
      if (ids.has(id)) duplicates++
      ids.add(id)
    }
  })
}

/** Takes messages and never answers, until the relay gives up. */
function hang(_batch: unknown, signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error))
  })
}

function report(): void {
  const { user, system } = process.cpuUsage(cpuAtFirst)
  const message: RelayProcessReport = {
    published,
    duplicates,
    cpuUs: user + system,
    rssBytes: process.memoryUsage.rss(),
    ids: [...ids],
  }
  process.send?.(message)
}

async function stop(): Promise<void> {
  await relay.stop({ graceMs: 500 })
  await pool.end()
  process.disconnect()
}
