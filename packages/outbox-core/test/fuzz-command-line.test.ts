import { fileURLToPath } from 'node:url'
import { propertyRuns, propertySeed } from '@malote/testing/property-scale'
import { type Command, CommanderError, type Option } from 'commander'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { Invocation } from '../src/cli/invocation.ts'
import { UsageError } from '../src/cli/invocation.ts'
import { createProgram, type Run } from '../src/cli/program.ts'
import { OutboxError } from '../src/errors.ts'

/** A soak takes a million, whatever its scale. */
const numRuns = propertySeed === null ? 2_000 : Math.max(1_000_000, propertyRuns(2_000))
/** In tests always the same lines: they have every verb. */
const seed = 16

/** What the database was asked, by name of the error with which it ends every verb. */
class Reached extends Error {}

const silent = { writeOut: () => {}, writeErr: () => {}, outputError: () => {} }
const output = { print: () => {}, note: () => {}, clear: () => {} }

interface Line {
  readonly verb: string
  readonly args: readonly string[]
  /** What is wrong with it: the message must have one of these words. Null: nothing. */
  readonly named: readonly string[] | null
}

interface End {
  readonly kind: 'ran' | 'refused' | 'told' | 'crashed'
  readonly words: string
  /** Statements that were sent, and processes that were started. */
  readonly deeds: number
}

const every = (command: Command): Command[] => [command, ...command.commands.flatMap(every)]

/** The real verbs, on a database that says no more than that it was asked. */
function createCommandLine(plant: (program: Command) => void): (line: Line) => Promise<End> {
  let deeds = 0
  const reach = (): Promise<never> => Promise.reject(new Reached(String(deeds++)))
  let isNoted = false
  // What is noted before a deed is taken, so that a refusal behind it is seen.
  const query = (): Promise<{ rows: never[] }> =>
    isNoted && deeds === 0 ? Promise.resolve({ rows: [], deeds: deeds++ }) : reach()
  const client = { query, connect: reach, end: () => Promise.resolve() } as unknown as Invocation['client']
  const run: Run = async (verb, flags, given) => {
    const schema = flags.schema === undefined ? {} : { schema: flags.schema }
    await verb({ client, schema, flags: flags as never, words: given, output })
  }
  const program = createProgram('0', run, reach, reach)
  for (const command of every(program)) command.exitOverride().configureOutput(silent)
  plant(program)
  return async ({ args }) => {
    deeds = 0
    isNoted = args[0] === 'purge'
    try {
      await program.parseAsync([...args], { from: 'user' })
      return { kind: 'ran', words: '', deeds }
    } catch (error) {
      const { message, stack = '' } = error as Error
      if (error instanceof Reached) return { kind: 'ran', words: message, deeds }
      if (error instanceof CommanderError)
        return { kind: error.exitCode === 0 ? 'told' : 'refused', words: message, deeds }
      const isUsage = error instanceof UsageError || (error instanceof OutboxError && error.code === 'INVALID_OPTION')
      return isUsage ? { kind: 'refused', words: message, deeds } : { kind: 'crashed', words: stack, deeds }
    }
  }
}

interface Values {
  readonly good: readonly string[]
  readonly bad: readonly string[]
}

const nothing = ['', ' ', '\t']
const noNumber = [
  ...nothing,
  'x',
  '-1',
  'NaN',
  'Infinity',
  '1e9',
  '0x10',
  ' 5',
  '5 ',
  '1,5',
  '٣',
  '1_000',
  '9'.repeat(400),
]
const text: Values = { good: ['orders', 'ünï', "'; drop table x; --", '$(id)', 'a b', '__proto__'], bad: nothing }
const whole: Values = { good: ['1', '17', '10000'], bad: [...noNumber, '0', '1.5', '10001'] }
const time: Values = {
  good: ['2026-11-28', '2026-11-28T03:00:00Z', '2026-11-28 03:00:00+01:00'],
  bad: [...nothing, '17', 'yesterday', '2026-02-30', '2026-13-01', '2026-11-28T25:00Z', '0000-01-01', '+275760-09-13'],
}
/** By option; the others take any text. */
const valuesOf: Readonly<Record<string, Values>> = {
  '--limit': whole,
  '--since': time,
  '--port': { good: ['0', '8080', '65535'], bad: [...noNumber, '65536', '1.5'] },
  '--timeout': { good: ['0', '1.005', '300'], bad: [...noNumber, '2147484'] },
  '--older-than': { good: ['1', '30', '0.5', '3651'], bad: [...noNumber, '36501'] },
  '--schema': { good: ['malote', 'Größe "x"'], bad: ['', 'x'.repeat(64), 'ü'.repeat(32)] },
  '--where': { good: ['reason=POISON', 'error=a=b'], bad: [...nothing, 'x', 'x=y', '=', 'reason'] },
  '--url': { good: [], bad: [...nothing, 'x', 'http://', 'amqp://', '%zz', 'localhost', 'localhost:x'] },
}

function values(verb: string, { long, argChoices }: Option): Values {
  if (argChoices !== undefined) return { good: argChoices, bad: [...nothing, 'x', '__proto__', 'Outbox'] }
  if (long === '--until' || (long === '--limit' && verb === 'redrive'))
    return long === '--until' ? time : { ...whole, bad: whole.bad.filter((one) => one !== '10001') }
  return valuesOf[long ?? ''] ?? text
}

const ids: Values = {
  good: ['1', '9223372036854775807'],
  bad: [...nothing, 'x', '-', '1.5', '9223372036854775808', '1;'],
}
const words: Readonly<Record<string, Values>> = {
  id: ids,
  'message-id': { good: ['0198b1a0-0000-7000-8000-000000000001'], bad: [...nothing, 'x', '17', '0198b1a0'] },
}

const pick = <Value>(from: readonly Value[], random: number): Value => from[random % from.length] as Value

/** Every verb and option of the program, put together so that a line is right, or wrong in one place that is known. */
function lineOf(seed: number, among: readonly Command[]): Line {
  const random = createRandom(seed)
  const draw = (): number => Math.floor(random() * 0x1_0000)
  const verb = pick(among, draw())
  const name = nameOf(verb)
  const given = verb.registeredArguments.flatMap((argument) =>
    argument.required || draw() % 2 === 0 ? [argument] : [],
  )
  const options = [...verb.options, ...root.options].filter(({ long }) => long !== '--yes' && long !== '--version')
  const chosen = options.filter(({ mandatory }) => mandatory || draw() % 4 === 0)
  // A right one would go and look for a broker.
  const isWrong = name === redrive || draw() % 2 === 0
  const places = [
    ...given.map((one) => one.name()),
    ...chosen.flatMap((one) => (one.isBoolean() ? [] : [one.long ?? ''])),
  ]
  const how = draw() % 8
  const wrong = !isWrong ? null : places.length === 0 || how === 0 ? '--no-such-option' : pick(places, draw())
  const value = (place: string, { good, bad }: Values): string =>
    place === wrong ? pick(bad, draw()) : good.length === 0 ? '' : pick(good, draw())
  const flags = chosen.flatMap((option) => {
    const long = option.long ?? ''
    if (option.isBoolean()) return [[long]]
    const of = values(name, option)
    return of.good.length === 0 && long !== wrong ? [] : [[`${long}=${value(long, of)}`]]
  })
  if (wrong === '--no-such-option') flags.splice(draw() % (flags.length + 1), 0, [wrong])
  const positional = given.map((argument) => value(argument.name(), words[argument.name()] ?? text))
  const args = [...name.split(' '), ...flags.flat(), '--yes', '--', ...positional]
  const blame =
    wrong === null ? null : [wrong, ...(wrong.startsWith('--') ? [] : positional.filter((one) => one !== ''))]
  return { verb: name, args, named: blame }
}

const root = createProgram(
  '0',
  () => Promise.resolve(),
  () => Promise.resolve(),
  () => Promise.resolve(),
)
const redrive = 'redrive'
const verbs = every(root).filter(({ commands }) => commands.length === 0)
const nameOf = (command: Command): string =>
  command.parent?.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name()

/** The same numbers for the same seed: mulberry32. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** @throws Error that says what is wrong with the end of the line */
function judge(line: Line, end: End): void {
  const wrong = (what: string): Error => new Error(`${what}: malote ${line.args.join(' ')}: ${JSON.stringify(end)}`)
  if (end.kind === 'crashed') throw wrong('crashed')
  if (end.kind === 'refused' && end.deeds > 0) throw wrong('half done')
  if (line.named === null) return
  if (end.kind !== 'refused') throw wrong('not refused')
  if (!line.named.some((word) => end.words.includes(word))) throw wrong('not named')
}

/** `inbox` and `keys` are purged by that package, which is looked for where the command runs. */
const withIdempotency = fileURLToPath(new URL('../../idempotency', import.meta.url))

beforeEach(() => {
  vi.spyOn(console, 'log').mockImplementation(() => {})
  vi.spyOn(process, 'cwd').mockReturnValue(withIdempotency)
})
afterEach(() => {
  vi.restoreAllMocks()
  process.exitCode = undefined
})

const seeds = fc.noShrink(fc.integer())

it(
  'refuses a line that is wrong in one place, names the place and has done nothing; a line that is right runs',
  async () => {
    const ran = new Set<string>()
    const endOf = createCommandLine(() => {})
    const holds = fc.asyncProperty(seeds, async (drawn) => {
      const line = lineOf(drawn, verbs)
      const end = await endOf(line)
      judge(line, end)
      if (end.kind === 'ran') ran.add(line.verb)
    })
    await fc.assert(holds, { numRuns, seed: propertySeed ?? seed })

    expect(verbs.map(nameOf).filter((verb) => !ran.has(verb))).toEqual([redrive])
  },
  propertySeed === null ? undefined : 3_600_000,
)

it.each(['--limit', '--since', '--older-than', '--operator', '--schema'])(
  'sees that nobody checks %s',
  async (long) => {
    const endOf = createCommandLine((program) => {
      for (const option of every(program).flatMap(({ options }) => options))
        if (option.long === long) delete option.parseArg
    })
    const among = verbs.filter((verb) => nameOf(verb) !== redrive)
    const holds = fc.asyncProperty(seeds, async (drawn) => {
      const line = lineOf(drawn, among)
      judge(line, await endOf(line))
    })

    expect((await fc.check(holds, { numRuns: 3_000, seed })).errorInstance).toMatchObject({
      message: expect.stringMatching(new RegExp(`^(crashed|half done|not refused|not named): malote .*${long}=`, 's')),
    })
  },
)
