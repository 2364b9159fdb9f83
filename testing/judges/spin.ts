// `npm run judges`: SPIN, a model checker that nobody here wrote, judges what the `.pml` files beside this one state.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { canInstallDebianPackages, installDebianPackage } from '../services/debian-package.ts'
import { brokenSystems, objections, soundSystems, type System } from './spin-systems.ts'

const absence = whatIsMissing()
if (absence === null) process.exitCode = judge() ? 0 : 1
else {
  console.error(`NOT RUN SPIN: ${absence}`)
  process.exitCode = process.env['CI'] === 'true' ? 1 : 0
}

/** @returns whether each model stands, and each mistake is seen as the breach of the promise that it breaks */
function judge(): boolean {
  let isAsExpected = true
  for (const system of [...soundSystems, ...brokenSystems]) {
    const { states, objection } = explore(system)
    const { mistake } = system
    const isRight = mistake === undefined ? objection === null : objections[mistake.breaks].test(objection ?? '')
    isAsExpected &&= isRight
    const size = Object.entries(system.size).map(([name, count]) => `${name} ${String(count)}`)
    const what = `${system.model} ${mistake?.name ?? 'as it is'}, ${size.join(', ')}`
    console.log(`${isRight ? 'ok    ' : 'WRONG '} ${what}: ${String(states)} states, ${objection ?? 'no objection'}`)
  }
  return isAsExpected
}

/** @throws Error when the checker did not come to an end, with its words */
function explore({ model, size, mistake }: System): { readonly states: number; readonly objection: string | null } {
  const folder = mkdtempSync(join(tmpdir(), 'malote-spin-'))
  try {
    const defines = Object.entries(size).map(([name, count]) => `-D${name}=${String(count)}`)
    if (mistake !== undefined) defines.push(`-D${mistake.name}`)
    run(folder, 'spin', ['-a', ...defines, fileURLToPath(new URL(`${model}.pml`, import.meta.url))])
    run(folder, 'cc', ['-w', '-O2', '-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=4000', '-o', 'pan', 'pan.c'])
    const told = run(folder, './pan', ['-m1000000'])
    const states = /(\d+) states, stored/.exec(told)?.[1]
    const errors = /errors: (\d+)/.exec(told)?.[1]
    const isCutOff = errors === '0' && /Search not completed|max search depth/.test(told)
    if (states === undefined || errors === undefined || isCutOff)
      throw new Error(`the search did not come to an end:\n${told.slice(-1_000)}`)
    return { states: Number(states), objection: errors === '0' ? null : (/pan:1: (.*)/.exec(told)?.[1] ?? 'objects') }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function run(cwd: string, command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? `${stdout}${stderr}`.slice(-1_000)}`)
  return stdout
}

function whatIsMissing(): string | null {
  const has = (command: string): boolean => spawnSync(command, ['--version']).error === undefined
  if (!has('cc')) return 'it compiles its search: a C compiler named cc is needed'
  if (has('spin')) return null
  if (!canInstallDebianPackages()) return 'install the package spin (here only root on Debian could)'
  installDebianPackage('spin')
  return null
}
