import { execFile, spawnSync } from 'node:child_process'
import { delimiter } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { canInstallDebianPackages, installDebianPackage } from '../services/debian-package.ts'

/** Debian's own interpreter: it sees Debian's packages. */
export const python = '/usr/bin/python3'

/** Something to import, and Debian's package of it, or what pip is asked for where Debian's is missing or too old. */
export interface PythonPackage {
  readonly module: string
  readonly from: { readonly debian: string } | { readonly pip: string }
}

/** Where pip puts a package: a folder of its own among the project's tools, so that none changes what another needs. */
export function folderOf({ from }: PythonPackage): string | null {
  return 'pip' in from ? fileURLToPath(new URL(`../../.tools/python/${from.pip}`, import.meta.url)) : null
}

const environmentFor = (...wanted: readonly PythonPackage[]): NodeJS.ProcessEnv => ({
  ...process.env,
  PYTHONPATH: wanted.flatMap((one) => folderOf(one) ?? []).join(delimiter),
})

/** Installs it unless it is there. @returns why it is not to be had, or null */
export function whatIsMissing(wanted: PythonPackage): string | null {
  const { module, from } = wanted
  const works = (...args: string[]): boolean => spawnSync(python, args, { env: environmentFor(wanted) }).status === 0
  const has = (): boolean => works('-c', `import ${module}`)
  if (has()) return null
  if ('pip' in from) {
    const install = ['-m', 'pip', 'install', '--quiet', '--target', folderOf(wanted) ?? '', from.pip]
    if (works(...install) && has()) return null
    return `${python} ${install.join(' ')} fails: is there a pip, and a way to its registry?`
  }
  if (!canInstallDebianPackages()) return `install the package ${from.debian} (here only root on Debian could)`
  installDebianPackage(from.debian)
  return has() ? null : `${from.debian} is installed, and ${python} does not find it`
}

/** Has clients.py do one thing, with these packages. */
export async function ask<Answer>(
  wanted: readonly PythonPackage[],
  order: Readonly<Record<string, unknown>>,
): Promise<Answer> {
  const script = fileURLToPath(new URL('clients.py', import.meta.url))
  const { stdout } = await promisify(execFile)(python, [script, JSON.stringify(order)], {
    env: environmentFor(...wanted),
  })
  return JSON.parse(stdout) as Answer
}

/** Whether a judge is to say what it finds. All are, unless `MALOTE_JUDGE_ONLY` names one. */
export function isAskedFor(judge: string): boolean {
  return [undefined, judge].includes(process.env['MALOTE_JUDGE_ONLY'])
}

/** Ends the judge: what is not as expected fails it, and under `CI` what could not be run too. */
export function endJudge(outcomes: readonly ('ok' | 'wrong' | 'not-run')[]): void {
  const isFine = outcomes.every((one) => one === 'ok' || (one === 'not-run' && process.env['CI'] !== 'true'))
  process.stdout.write('', () => process.exit(isFine ? 0 : 1))
}
