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
    'broker-outage': { begin: () => broker.stop(), end: () => broker.start(), last: Promise.resolve() },
    'database-outage': {
      begin: () => postgres.stop('immediate'),
      end: () => postgres.start(),
      last: Promise.resolve(),
    },
  }
  process.on('message', (command: RoleCommand) => {
    if (command.type !== 'broker-outage' && command.type !== 'database-outage') return
    const outage = outages[command.type]
    // One after the other: on a busy machine the end of an outage comes while what it ends is still being stopped.
    outage.last = outage.last.then(command.begins ? outage.begin : outage.end)
    // What cannot start again leaves the run without it: better to end here, loudly.
    outage.last.catch((error: unknown) => {
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
