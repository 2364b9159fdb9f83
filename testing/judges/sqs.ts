// `npm run judges`: servers of SQS that nobody here wrote, and that nobody wrote for us, take part in the adapter's own kits.
import type { SqsService } from '../services/sqs.ts'
import { startElasticMq, startMoto } from '../services/sqs-servers.ts'
import { runKits } from './kits.ts'
import { endJudge, folderOf, type PythonPackage, whatIsMissing } from './python-tools.ts'

interface Subject {
  readonly name: string
  readonly start: () => Promise<SqsService>
  /** Of packages/adapter-sqs/test. */
  readonly files: readonly string[]
  /** What the server does not know, as the tests are told. */
  readonly lacks: string
}

const kits = ['publisher-conformance', 'consumer-conformance', 'receiver', 'redrive']
const moto: PythonPackage = { module: 'moto.server', from: { pip: 'moto[server]==5.2.5' } }

const subjects: readonly Subject[] = [
  { name: 'ElasticMQ', start: startElasticMq, files: kits, lacks: 'sizes' },
  // Half a second for ten messages: the publishers' kit sends twenty thousand.
  { name: 'moto', start: startOurMoto, files: ['consumer-conformance-fifo', 'receiver', 'sns'], lacks: '' },
]

const outcomes: ('ok' | 'wrong' | 'not-run')[] = []
for (const { name, start, files, lacks } of subjects) {
  const server = await start().catch((error: unknown) => String(error))
  if (typeof server === 'string') {
    console.error(`NOT RUN ${name}: ${server.slice(-1_000)}`)
    outcomes.push('not-run')
    continue
  }
  const paths = files.map((file) => `packages/adapter-sqs/test/${file}`)
  const { passed, failed } = runKits(paths, { MALOTE_TEST_SQS_ENDPOINT: server.endpoint, MALOTE_TEST_SQS_LACKS: lacks })
  await server.close()
  const isFine = passed > 0 && failed.length === 0
  outcomes.push(isFine ? 'ok' : 'wrong')
  console.log(`${isFine ? 'ok    ' : 'WRONG '} ${server.origin}: ${String(passed)} cases of ${files.join(', ')} hold`)
  for (const one of failed) console.log(`       ${one}`)
}
endJudge(outcomes)

async function startOurMoto(): Promise<SqsService> {
  const absence = whatIsMissing(moto)
  if (absence !== null) throw new Error(absence)
  return startMoto(folderOf(moto) ?? '')
}
