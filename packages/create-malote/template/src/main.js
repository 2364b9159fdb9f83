import { openBroker } from './broker.js'
import { findDatabase, openDatabase } from './database.js'
import { startService } from './service.js'

const service = await startService({
  port: Number(process.env.PORT ?? 3000),
  database: await openDatabase(await findDatabase()),
  broker: await openBroker(),
})
console.log(`the service listens. Order something:

  curl -i ${service.url}/orders -H 'content-type: application/json' -H 'idempotency-key: "my-first-order-0001"' -d '{"cents":1999}'

The same command again gets the same answer and orders nothing. Ctrl-C ends it.
`)

let stopping = false
for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, () => {
    if (stopping) return
    stopping = true
    console.log('stopping: what is under way is finished')
    service.stop().then(
      () => console.log('stopped: nothing lost, nothing half done'),
      (error) => {
        console.error(error)
        process.exitCode = 1
      },
    )
  })
