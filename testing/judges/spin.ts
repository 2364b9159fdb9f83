// `npm run judges`: SPIN, a model checker that nobody here wrote, judges the relay's protocol as `lane.pml` states it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { canInstallDebianPackages, installDebianPackage } from '../services/debian-package.ts'

/** A run of the checker over every interleaving of so many writers and two relays, with at most so many faults. */
interface System {
  readonly writers: 2 | 3
  readonly faults: number
  /** A rule of the protocol that is taken out, as `lane.pml` names it. The checker must object. */
  readonly mistake?: string
}

const sound: readonly System[] = [
  { writers: 2, faults: 3 },
  { writers: 3, faults: 1 },
  { writers: 3, faults: 2 },
]
const broken: readonly System[] = [
  { writers: 3, faults: 1, mistake: 'FORWARD_ONLY_POSITION' },
  { writers: 3, faults: 1, mistake: 'FLOOR_WITHOUT_LOCKS' },
  { writers: 3, faults: 1, mistake: 'FORGET_SETTLED_AT_ONCE' },
  { writers: 2, faults: 2, mistake: 'SETTLE_BEFORE_ACKNOWLEDGEMENT' },
  { writers: 2, faults: 2, mistake: 'SEND_BEHIND_A_FAILURE' },
  { writers: 2, faults: 2, mistake: 'RETRY_WITHOUT_FENCE' },
  { writers: 2, faults: 2, mistake: 'NEW_OWNER_IGNORES_WAITING_KEYS' },
  { writers: 2, faults: 2, mistake: 'HAND_OVER_UNSETTLED' },
  { writers: 2, faults: 2, mistake: 'WAIT_FOR_A_SETTLED_MESSAGE' },
]

const model = fileURLToPath(new URL('lane.pml', import.meta.url))
const absence = whatIsMissing()
if (absence === null) process.exitCode = judge() ? 0 : 1
else {
  console.error(`NOT RUN SPIN: ${absence}`)
  process.exitCode = process.env['CI'] === 'true' ? 1 : 0
}

/** @returns whether the protocol stands, and each mistake is seen */
function judge(): boolean {
  let isAsExpected = true
  for (const system of [...sound, ...broken]) {
    const { states, objection } = explore(system)
    const isRight = (objection !== null) === (system.mistake !== undefined)
    isAsExpected &&= isRight
    const what = `${system.mistake ?? 'the protocol'}, ${String(system.writers)} writers, ${String(system.faults)} faults`
    console.log(`${isRight ? 'ok    ' : 'WRONG '} ${what}: ${String(states)} states, ${objection ?? 'no objection'}`)
  }
  return isAsExpected
}

/** @throws Error when the checker did not come to an end, with its words */
function explore({ writers, faults, mistake }: System): { readonly states: number; readonly objection: string | null } {
  const folder = mkdtempSync(join(tmpdir(), 'malote-spin-'))
  try {
    const defines = [`-DWRITERS=${String(writers)}`, `-DFAULTS=${String(faults)}`]
    if (mistake !== undefined) defines.push(`-D${mistake}`)
    run(folder, 'spin', ['-a', ...defines, model])
    run(folder, 'cc', ['-O2', '-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=4000', '-o', 'pan', 'pan.c'])
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
