/**
 * A process that holds the database and the broker of one demo. It is apart from the demo so that they end in order however
 * the demo ends: also after a SIGKILL of the demo's whole process group its IPC channel closes, and this process stops them.
 */
import { startPostgres } from '@malote/testing/services/postgres'
import { type RoleCommand, runRole } from '../process/run-role.ts'
import { setting } from '../process/settings.ts'
import { brokers } from './arguments.ts'
import { noteUser } from './data-folder.ts'
import { startBroker } from './start-broker.ts'

await runRole(async () => {
  const dataDir = process.env['DATA_DIR']
  if (dataDir !== undefined) noteUser(dataDir, 'services.pid')
  const name = brokers.find((candidate) => candidate === setting('BROKER')) ?? 'sqs'
  const [postgres, broker] = await Promise.all([
    startPostgres(dataDir === undefined ? {} : { dataDir: setting('POSTGRES_DIR') }),
    startBroker(name, dataDir),
  ])
  // The database goes as in a crash: sessions are cut, and the next start recovers from the log.
  const outages = {
    'broker-outage': { begin: () => broker.stop(), end: () => broker.start() },
    'database-outage': { begin: () => postgres.stop('immediate'), end: () => postgres.start() },
  }
  process.on('message', (command: RoleCommand) => {
    if (command.type !== 'broker-outage' && command.type !== 'database-outage') return
    const { begin, end } = outages[command.type]
    // What cannot start again leaves the run without it: better to end here, loudly.
    ;(command.begins ? begin() : end()).catch((error: unknown) => {
      console.error(error)
      process.exit(1)
    })
  })
  return {
    urls: { database: postgres.url, broker: broker.url },
    stop: async () => {
      await broker.close()
      await postgres.stop('fast')
    },
  }
}, 60_000)
