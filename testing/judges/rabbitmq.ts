// `npm run judges`: the RabbitMQ of Debian's next release, a major version on, takes part in the adapter's own tests.
import { debianRoot } from '../services/debian-root.ts'
import { startRabbitmq } from '../services/rabbitmq.ts'
import { runKits } from './kits.ts'
import { endJudge } from './python-tools.ts'

const variable = 'MALOTE_TEST_RABBITMQ_ROOT'

try {
  const root = debianRoot('trixie', 'rabbitmq-server')
  process.env[variable] = root
  const broker = await startRabbitmq({ exclusive: true })
  const version = (await broker.ctl('version')).trim()
  await broker.dispose()
  const { passed, failed, notRun } = runKits(['packages/adapter-rabbitmq/test'], { [variable]: root })
  const isFine = passed > 0 && failed.length === 0 && !version.startsWith('3.')
  console.log(`${isFine ? 'ok    ' : 'WRONG '} RabbitMQ ${version}: ${String(passed)} cases of the adapter hold`)
  for (const one of failed) console.log(`       ${one}`)
  for (const one of notRun) console.log(`       not judged: ${one}`)
  endJudge([isFine ? 'ok' : 'wrong'])
} catch (error) {
  console.error(`NOT RUN RabbitMQ 4: ${String(error).slice(-1_000)}`)
  endJudge(['not-run'])
}
