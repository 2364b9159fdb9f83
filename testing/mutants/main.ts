// `npm run mutants`: breaks one promise after the other in a copy of the repository and sees whether its test notices.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { mutants } from './list.ts'
import type { Mutant } from './mutant.ts'

const usage = `npm run mutants -- [options]
  --list      one a line: name, promise, file
  --only TEXT only those whose name, promise or file contains it`

const { values } = parseArgs({
  options: { list: { type: 'boolean' }, only: { type: 'string', default: '' }, help: { type: 'boolean' } },
})
const chosen = mutants.filter(({ name, promise, file }) => `${name}|${promise}|${file}`.includes(values.only))

if (values.help === true) console.log(usage)
else if (values.list === true)
  for (const { name, promise, file } of chosen) console.log(`${name} | ${promise} | ${file}`)
else process.exitCode = runAll() ? 0 : 1

function runAll(): boolean {
  const copy = copyOfRepository()
  try {
    const survivors = chosen.filter((mutant) => !isKilled(copy, mutant))
    console.log(`${String(chosen.length - survivors.length)} of ${String(chosen.length)} mutants killed`)
    for (const { name, file, test } of survivors) console.log(`SURVIVED ${name} (${file}, looked for by ${test})`)
    return survivors.length === 0
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/** What git knows, with this checkout's installed packages. */
function copyOfRepository(): string {
  const root = process.cwd()
  const copy = mkdtempSync(join(tmpdir(), 'malote-mutants-'))
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    encoding: 'utf8',
  })
  for (const file of files.split('\0').filter((one) => one !== '')) cpSync(join(root, file), join(copy, file))
  const folders = files.split('\0').filter((file) => file.endsWith('package.json'))
  for (const folder of folders.map((file) => dirname(file)))
    symlinkSync(join(root, folder, 'node_modules'), join(copy, folder, 'node_modules'))
  return copy
}

/** A mutant that no test of the file fails for has survived; one for which none could run has too. */
function isKilled(copy: string, { name, file, find, replace, test }: Mutant): boolean {
  const path = join(copy, file)
  const sound = readFileSync(path, 'utf8')
  unlinkSync(path)
  writeFileSync(
    path,
    sound.replace(find, () => replace),
  )
  const project = /\.(pg|broker)\.test\.ts$/.test(test) ? 'integration' : 'unit'
  const report = join(copy, 'mutant.json')
  spawnSync(
    'vitest',
    ['run', '--project', project, '--reporter=json', `--outputFile=${report}`, '--bail=1', '--pool=threads', test],
    {
      cwd: copy,
      stdio: 'ignore',
      // One that hangs counts as a survivor: no test has told.
      timeout: 300_000,
      killSignal: 'SIGKILL',
    },
  )
  writeFileSync(path, sound)
  const failed = failedTests(report)
  console.log(
    `${failed.length > 0 ? 'killed  ' : 'SURVIVED'} ${name}${failed[0] === undefined ? '' : ` | by: ${failed[0]}`}`,
  )
  return failed.length > 0
}

function failedTests(report: string): string[] {
  try {
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as {
      testResults: { assertionResults: { status: string; fullName: string }[] }[]
    }
    return testResults
      .flatMap(({ assertionResults }) => assertionResults)
      .filter(({ status }) => status === 'failed')
      .map(({ fullName }) => fullName)
  } catch {
    return [] // vitest could not begin: that proves nothing.
  } finally {
    rmSync(report, { force: true })
  }
}
