// Run by cold-start.ts: one worker from nothing, with the libraries it needs and no others. Tells of its first message, ends when told.
import { once } from 'node:events'
import type { StartedBy } from './cold-start.ts'

const [who, url] = process.argv.slice(2) as [StartedBy, string]
const arrived = (): void => void process.send?.('arrived')

const workers: Readonly<Record<StartedBy, () => Promise<() => Promise<unknown>>>> = {
  malote: async () => {
    const [{ createRelay }, { default: pg }] = await Promise.all([import('@malote/outbox-core'), import('pg')])
    const relay = createRelay({
      pool: new pg.Pool({ connectionString: url, max: 5 }),
      publisher: {
        name: 'first',
        publish: (batch) => {
          arrived()
          return Promise.resolve(batch.map(({ id }) => ({ id, status: 'accepted' })))
        },
        close: () => Promise.resolve(),
      },
    })
    relay.start()
    return () => relay.stop()
  },
  'graphile-worker': async () => {
    const { Logger, run } = await import('graphile-worker')
    const runner = await run({
      connectionString: url,
      logger: new Logger(() => () => {}),
      noHandleSignals: true,
      taskList: { order: arrived },
      crontab: '',
    })
    return () => runner.stop()
  },
  'pg alone': async () => {
    const { default: pg } = await import('pg')
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query('select 1')
    arrived()
    return () => client.end()
  },
}

process.once('disconnect', () => process.exit(1))
const told = once(process, 'message')
const stop = await workers[who]()
await told
await stop()
process.exit(0)
