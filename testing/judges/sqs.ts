// `npm run judges`: servers of SQS that nobody here wrote, and that nobody wrote for us, take part in the adapter's own kits.
import type { SqsService } from '../services/sqs.ts'
import { type SqsLack, stillLacks } from '../services/sqs-lacks.ts'
import { startElasticMq, startMoto } from '../services/sqs-servers.ts'
import { runKits } from './kits.ts'
import { endJudge, folderOf, isAskedFor, type PythonPackage, whatIsMissing } from './python-tools.ts'

interface Subject {
  readonly name: string
  readonly start: () => Promise<SqsService>
  /** Of packages/adapter-sqs/test. */
  readonly files: readonly string[]
  /** Cases about it are left out, for as long as the server lacks it. */
  readonly lacks: SqsLack
}

const kits = ['publisher-conformance', 'consumer-conformance', 'receiver', 'redrive']
const moto: PythonPackage = { module: 'moto.server', from: { pip: 'moto[server]==5.2.5' } }

const subjects: readonly Subject[] = [
  { name: 'ElasticMQ', start: startElasticMq, files: kits, lacks: 'sizes' },
  // Half a second for ten messages: the publishers' kit sends twenty thousand.
  {
    name: 'moto',
    start: startOurMoto,
    files: ['consumer-conformance-fifo', 'receiver', 'sns'],
    lacks: 'attribute-sizes',
  },
]

const outcomes: ('ok' | 'wrong' | 'not-run')[] = []
for (const { name, start, files, lacks } of subjects.filter(({ name }) => isAskedFor(name))) {
  const server = await start().catch((error: unknown) => String(error))
  if (typeof server === 'string') {
    console.error(`NOT RUN ${name}: ${server.slice(-1_000)}`)
    outcomes.push('not-run')
    continue
  }
  const paths = files.map((file) => `packages/adapter-sqs/test/${file}`)
  const env = { MALOTE_TEST_SQS_ENDPOINT: server.endpoint, MALOTE_TEST_SQS_LACKS: lacks }
  const { passed, failed, notRun } = runKits(paths, env)
  const isExcused = await stillLacks(server.endpoint, lacks)
  await server.close()
  const isFine = passed > 0 && failed.length === 0 && isExcused
  outcomes.push(isFine ? 'ok' : 'wrong')
  console.log(`${isFine ? 'ok    ' : 'WRONG '} ${server.origin}: ${String(passed)} cases of ${files.join(', ')} hold`)
  for (const one of failed) console.log(`       ${one}`)
  if (!isExcused)
    console.log(`       it no longer lacks "${lacks}": take that off, and let it judge what was left out for it`)
  for (const one of notRun) console.log(`       not judged: ${one}`)
}
endJudge(outcomes)

async function startOurMoto(): Promise<SqsService> {
  const absence = whatIsMissing(moto)
  if (absence !== null) throw new Error(absence)
  return startMoto(folderOf(moto) ?? '')
}
