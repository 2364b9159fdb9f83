// `npm run judges`: builds the addon of @confluentinc/kafka-javascript, which no install here may, and lets each client of Kafka take part in
// every case of the kits: with it, and in those that `npm test` leaves to this judge.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runKits } from './kits.ts'
import { endJudge } from './python-tools.ts'

const root = new URL('../../', import.meta.url)
const manifest = JSON.parse(readFileSync(new URL('packages/adapter-kafka/package.json', root), 'utf8')) as {
  readonly devDependencies: Readonly<Record<string, string>>
}
const name = '@confluentinc/kafka-javascript'
const version = manifest.devDependencies[name] ?? ''
const tests = ['conformance', 'clients', 'readme'].map((file) => `packages/adapter-kafka/test/${file}.broker.test.ts`)

const addon = builtAddon()
if (addon === null) console.error(`NOT RUN ${name}: its addon cannot be built here. What went wrong stands above`)
const { passed, failed, notRun } = runKits(tests, {
  MALOTE_TEST_KAFKA_CLIENTS: 'all',
  ...(addon === null ? {} : { MALOTE_TEST_CONFLUENT: addon }),
})
const isFine = passed > 0 && failed.length === 0
console.log(`${isFine ? 'ok    ' : 'WRONG '} every client of Kafka that is here: ${String(passed)} cases hold`)
for (const one of failed) console.log(`       ${one}`)
for (const one of notRun) console.log(`       not judged: ${one}`)
endJudge([isFine ? 'ok' : 'wrong', ...(addon === null ? (['not-run'] as const) : [])])

/**
 * The package brings librdkafka's source, and builds it for this Node with a compiler and OpenSSL: two minutes, once for each version.
 *
 * @returns its folder, or null
 */
function builtAddon(): string | null {
  const prefix = fileURLToPath(new URL(`.tools/kafka-javascript@${version}-${process.versions.modules}`, root))
  const folder = join(prefix, 'node_modules', name)
  if (existsSync(join(prefix, 'complete'))) return folder
  mkdirSync(prefix, { recursive: true })
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-save', '--loglevel=error']
  const fetched = run('npm', ['install', '--prefix', prefix, ...flags, `${name}@${version}`, 'node-gyp@12'], prefix)
  // Where Node's headers lie beside it, none are fetched. "dynamic" builds with what this host has and fetches no libraries.
  const node = dirname(dirname(process.execPath))
  const headers = existsSync(join(node, 'include/node')) ? [`--nodedir=${node}`] : []
  const gyp = join(prefix, 'node_modules/node-gyp/bin/node-gyp.js')
  if (!fetched || !run(process.execPath, [gyp, 'rebuild', ...headers], folder, { CKJS_LINKING: 'dynamic' })) return null
  // A compiler takes whatever headers it finds. Those of another Node make an addon that builds and does not load.
  if (!run(process.execPath, ['--eval', `require(${JSON.stringify(folder)})`], folder)) return null
  writeFileSync(join(prefix, 'complete'), '')
  return folder
}

/** Quiet where it goes well. */
function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): boolean {
  const path = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`
  // What npm was told of headers is for the Node that npm runs on.
  const { npm_config_nodedir: _, ...inherited } = process.env
  const { status, stderr } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...inherited, PATH: path, ...env },
  })
  if (status !== 0) console.error(stderr.slice(-2_000))
  return status === 0
}
