// `npm run mutants`: breaks one promise after the other in a copy of the repository and sees whether its test notices.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type PostgresService, startPostgres } from '../services/postgres.ts'
import { copyOfRepository, runInCopy, withPatch } from './copy.ts'
import { mutants } from './list.ts'
import type { Mutant } from './mutant.ts'
import { lineOf, type Run, type Verdict, verdictOf } from './verdict.ts'

/** For the tests of one mutant. */
const timeLimitMs = 300_000

const usage = `npm run mutants -- [options]
  --list      one a line: name, promise, file
  --only TEXT only those whose name, promise, file or test contains it
  --shard N/M only every Mth of these, from the Nth on: for several runs side by side`

const { values } = parseArgs({
  options: {
    list: { type: 'boolean' },
    only: { type: 'string', default: '' },
    shard: { type: 'string', default: '1/1' },
    help: { type: 'boolean' },
  },
})
const [shard, shards] = partOf(values.shard)
const chosen = mutants
  .filter(({ name, promise, file, test }) => [name, promise, file, test].join('|').includes(values.only))
  .filter((_, index) => index % shards === shard - 1)

const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interrupted.abort())

if (values.help === true) console.log(usage)
else if (values.list === true)
  for (const { name, promise, file } of chosen) console.log(`${name} | ${promise} | ${file}`)
else process.exitCode = (await runAll()) ? 0 : 1

/** @throws Error when it names no part of anything */
function partOf(text: string): readonly [number, number] {
  const [, part, parts] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number)
  if (part === undefined || parts === undefined || part < 1 || part > parts)
    throw new Error(`--shard ${text}: N/M with N from 1 to M, such as 1/3`)
  return [part, parts]
}

async function runAll(): Promise<boolean> {
  const copy = copyOfRepository()
  // One for all, and ours: a run that hangs is killed, and would leave its own behind.
  let postgres: PostgresService | undefined
  try {
    const lines: string[] = []
    let judged = 0
    for (const mutant of chosen) {
      if (interrupted.signal.aborted) break
      if (isWithServers(mutant))
        postgres ??= await startPostgres({ durable: false, settings: { max_prepared_transactions: 10 } })
      const verdict = await judge(copy, mutant, postgres?.url)
      if (interrupted.signal.aborted) break // It was killed with us: that says nothing.
      judged++
      const line = lineOf(mutant.name, verdict)
      console.log(line)
      if (verdict.kind !== 'killed') lines.push(`${line} (${mutant.file}, looked for by ${mutant.test})`)
    }
    console.log(`${String(judged - lines.length)} of ${String(judged)} mutants killed by a test`)
    if (judged < chosen.length)
      lines.push(`NOT RUN: ${String(chosen.length - judged)} mutants, because this was interrupted`)
    for (const line of lines) console.log(line)
    return lines.every((line) => line.startsWith('KILLED'))
  } finally {
    await postgres?.stop()
    rmSync(copy, { recursive: true, force: true })
  }
}

function isWithServers({ test }: Mutant): boolean {
  return /\.(pg|broker)\.test\.ts$/.test(test)
}

async function judge(copy: string, mutant: Mutant, postgresUrl = ''): Promise<Verdict> {
  return verdictOf(await withPatch(copy, mutant, () => runTests(copy, mutant, postgresUrl)))
}

async function runTests(copy: string, mutant: Mutant, postgresUrl: string): Promise<Run> {
  const report = join(copy, 'mutant.json')
  rmSync(report, { force: true })
  const project = isWithServers(mutant) ? 'integration' : 'unit'
  const flags = ['--project', project, '--reporter=json', `--outputFile=${report}`, '--bail=1', '--pool=threads']
  const { exitCode } = await runInCopy(copy, ['vitest', 'run', ...flags, mutant.test], {
    env: { ...process.env, MALOTE_TEST_POSTGRES_URL: postgresUrl },
    timeLimitMs,
    stop: interrupted.signal,
  })
  return { exitCode, report: existsSync(report) ? readFileSync(report, 'utf8') : null }
}
