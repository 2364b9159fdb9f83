// `npm run judges`: SPIN, a model checker that nobody here wrote, judges what the `.pml` files beside this one state.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { canInstallDebianPackages, installDebianPackage } from '../services/debian-package.ts'

/** A run of the checker over every interleaving of a model. */
interface System {
  /** `lane`: the relay's protocol. `consumer`: a consumer with an inbox. `blame`: who pays for a rejected batch. */
  readonly model: 'lane' | 'consumer' | 'blame'
  /** How many there are of what, as the model names it. */
  readonly size: Readonly<Record<string, number>>
  /** A rule that is taken out, as the model names it. The checker must object. */
  readonly mistake?: string
}

const few = { WRITERS: 2, FAULTS: 2 }
const many = { WRITERS: 3, FAULTS: 1 }
/** With somebody who asks for a cut-off beside the lane. */
const asked = { WRITERS: 2, FAULTS: 1, CUT_OFF: 1 }
const three = { FAULTS: 3 }
const nobody = { FAULTS: 1 }
const first = { FAULTS: 1, CULPRIT: 0 }

const sound: readonly System[] = [
  { model: 'lane', size: { WRITERS: 2, FAULTS: 3 } },
  { model: 'lane', size: many },
  { model: 'lane', size: { WRITERS: 3, FAULTS: 2 } },
  { model: 'lane', size: asked },
  { model: 'consumer', size: { FAULTS: 5 } },
  { model: 'blame', size: nobody },
  { model: 'blame', size: first },
]
const broken: readonly System[] = [
  { model: 'lane', size: many, mistake: 'ADD_OUTSIDE_THE_TRANSACTION' },
  { model: 'lane', size: many, mistake: 'FORWARD_ONLY_POSITION' },
  { model: 'lane', size: many, mistake: 'FLOOR_WITHOUT_LOCKS' },
  { model: 'lane', size: many, mistake: 'FORGET_SETTLED_AT_ONCE' },
  { model: 'lane', size: few, mistake: 'SETTLE_BEFORE_ACKNOWLEDGEMENT' },
  { model: 'lane', size: few, mistake: 'SEND_BEHIND_A_FAILURE' },
  { model: 'lane', size: few, mistake: 'RETRY_WITHOUT_FENCE' },
  { model: 'lane', size: few, mistake: 'NEW_OWNER_IGNORES_WAITING_KEYS' },
  { model: 'lane', size: few, mistake: 'HAND_OVER_UNSETTLED' },
  { model: 'lane', size: few, mistake: 'WAIT_FOR_A_SETTLED_MESSAGE' },
  { model: 'lane', size: asked, mistake: 'CUT_OFF_FORGETS_WRITERS' },
  { model: 'lane', size: asked, mistake: 'CUT_OFF_FORGETS_WAITING_ROWS' },
  { model: 'consumer', size: three, mistake: 'ACKNOWLEDGE_BEFORE_COMMIT' },
  { model: 'consumer', size: three, mistake: 'APPLY_WITHOUT_INBOX' },
  { model: 'consumer', size: three, mistake: 'LOOK_BEFORE_CLAIMING' },
  { model: 'consumer', size: three, mistake: 'INBOX_OUTSIDE_THE_TRANSACTION' },
  { model: 'blame', size: nobody, mistake: 'CHARGE_AN_OUTAGE' },
  { model: 'blame', size: first, mistake: 'BLAME_THE_WHOLE_BATCH' },
]

const absence = whatIsMissing()
if (absence === null) process.exitCode = judge() ? 0 : 1
else {
  console.error(`NOT RUN SPIN: ${absence}`)
  process.exitCode = process.env['CI'] === 'true' ? 1 : 0
}

/** @returns whether each model stands, and each mistake is seen */
function judge(): boolean {
  let isAsExpected = true
  for (const system of [...sound, ...broken]) {
    const { states, objection } = explore(system)
    const isRight = (objection !== null) === (system.mistake !== undefined)
    isAsExpected &&= isRight
    const size = Object.entries(system.size).map(([name, count]) => `${name} ${String(count)}`)
    const what = `${system.model} ${system.mistake ?? 'as it is'}, ${size.join(', ')}`
    console.log(`${isRight ? 'ok    ' : 'WRONG '} ${what}: ${String(states)} states, ${objection ?? 'no objection'}`)
  }
  return isAsExpected
}

/** @throws Error when the checker did not come to an end, with its words */
function explore({ model, size, mistake }: System): { readonly states: number; readonly objection: string | null } {
  const folder = mkdtempSync(join(tmpdir(), 'malote-spin-'))
  try {
    const defines = Object.entries(size).map(([name, count]) => `-D${name}=${String(count)}`)
    if (mistake !== undefined) defines.push(`-D${mistake}`)
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
