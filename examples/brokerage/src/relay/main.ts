import { createRelay, exponentialBackoff } from '@malote/outbox-core'
import { tracedPublisher } from '@malote/outbox-core/otel'
import pg from 'pg'
import { connectBroker } from '../messaging/broker.ts'
import { report, type RoleCommand, runRole } from '../process/run-role.ts'
import { setting } from '../process/settings.ts'
import { isTraced } from '../process/telemetry.ts'
import { log } from '../process/log.ts'
import { announcePublishes } from './announced-publisher.ts'
import { publishTwice } from './publish-twice.ts'

await runRole(async () => {
  const broker = await connectBroker()
  const plain = broker.createPublisher()
  const sender = publishTwice(isTraced() ? tracedPublisher(plain, { system: setting('BROKER') }) : plain)
  const publisher = announcePublishes(sender, (at) => report({ type: 'event', name: at }))
  // A relay that is to be killed at its first publish is told before it starts, not after.
  const holdAt = process.env['HOLD_FIRST_PUBLISH']
  if (holdAt === 'publish-started' || holdAt === 'publish-accepted') publisher.holdNext(holdAt)
  process.on('message', (command: RoleCommand) => {
    if (command.type === 'hold-next-publish') publisher.holdNext(command.at)
    if (command.type === 'publish-twice') sender.sendTwice(command.on)
  })
  const pool = new pg.Pool({ connectionString: setting('DATABASE_URL'), max: 6 })
  pool.on('error', () => {}) // The relay hears of lost connections itself and opens new ones.
  const relay = createRelay({
    pool,
    publisher,
    // One publish at a time: what is added meanwhile makes the next batch larger, and a request for many is as dear as for one.
    concurrency: 1,
    // A demo should not wait long for a broker that is back; a production relay is well served by the default.
    // A new look comes due within a second or two: a reminder should not be much later than it is meant to be.
    pollIntervalMs: 500,
    // An order has three messages and two seconds: nobody sees this wait, and each look at the table finds many times as many.
    lingerMs: 60,
    outageBackoff: exponentialBackoff({ baseMs: 200, maxMs: 2_000 }),
    onEvent: (event) => {
      if (event.type === 'message.dead-lettered') log.error(event, 'message dead-lettered')
      // Each report is a write and a read; whoever runs this relay counts only what went wrong.
      if (event.type === 'message.retry-scheduled') report({ type: 'event', name: event.type })
    },
  })
  relay.start()
  return {
    stop: async () => {
      await relay.stop()
      await publisher.close()
      await broker.close()
      await pool.end()
    },
  }
})
