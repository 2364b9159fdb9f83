import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { type Invocation, UsageError } from '../src/cli/invocation.ts'
import { createProgram, type Run } from '../src/cli/program.ts'

/** A program whose verbs only say that they were called, and the verbs themselves: what has no verbs under it. */
function setup(run?: Run) {
  const called: string[] = []
  const note = (): Promise<void> => {
    called.push('called')
    return Promise.resolve()
  }
  const program = createProgram('0', run ?? note, note, note)
  const below = (command: Command): Command[] =>
    command.commands.length === 0 ? [command] : command.commands.flatMap(below)
  const verbs = below(program)
  for (const command of [program, ...program.commands, ...verbs])
    command.exitOverride().configureOutput({ writeErr: () => {} })
  return { called, program, verbs }
}

/** The verb's words without the program's name. */
const nameOf = (verb: Command): string => (verb.parent?.parent ? `${nameOf(verb.parent)} ${verb.name()}` : verb.name())

function helpOf(verb: Command): string {
  let text = ''
  verb.configureOutput({ writeOut: (part) => (text += part) })
  verb.outputHelp()
  return text
}

const examplesOf = (verb: Command): string[] => helpOf(verb).match(/(?<=^ {2}malote ).+$/gm) ?? []
/** Quoted or not. A pipe is the shell's. */
const wordsOf = (example: string): string[] =>
  (example.replace(/ \|.*/, '').match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', ''))

describe('the help of each verb', () => {
  it.each(setup().verbs.map(nameOf))('%s: has examples of that verb, which the program understands', async (name) => {
    const { verbs } = setup()
    const examples = examplesOf(verbs.find((verb) => nameOf(verb) === name) as Command)

    expect(examples).not.toEqual([])
    for (const example of examples) {
      const { called, program } = setup()
      expect(wordsOf(example).join(' ')).toMatch(new RegExp(`^${name}( |$)`))
      if (runsByItself.includes(name)) continue
      await program.parseAsync(wordsOf(example), { from: 'user' })
      expect(called).toEqual(['called'])
    }
  })
})

/** These ask nobody to connect them to a database: they would print, and look for a broker. */
const runsByItself = ['grants', 'redrive']

describe('an option that would be ignored', () => {
  it.each(setup().verbs.map(nameOf))('%s: refuses every option of another command, in any place', async (name) => {
    const { called, program, verbs } = setup()
    const own = [...(verbs.find((verb) => nameOf(verb) === name) as Command).options, ...program.options]
    const ofOthers = verbs
      .flatMap(({ options }) => options)
      .filter(({ long }) => own.every((option) => option.long !== long))
    const words = wordsOf(examplesOf(verbs.find((verb) => nameOf(verb) === name) as Command)[0] ?? '')
    const places = [...name.split(' ').keys(), name.split(' ').length, words.length]
    const flags = ['--no-such-option', ...new Set(ofOthers.map(({ long }) => String(long)))]
    const lines = flags.flatMap((flag) => places.map((at) => ({ flag, line: words.toSpliced(at, 0, `${flag}=x`) })))

    const ends = await Promise.all(
      lines.map(({ line }) => program.parseAsync(line, { from: 'user' }).catch((error: unknown) => String(error))),
    )
    expect(ends).toEqual(lines.map(({ flag }) => expect.stringContaining(`unknown option '${flag}`)))
    expect(called).toEqual([])
  })

  it.each([
    ['purge --older-than 3 --profile simple', '--profile'],
    ['purge --only archive --older-than 3 --profile partitioned', '--profile'],
    ['purge --only keys --profile simple', '--profile'],
    ['purge --only keys --older-than 3', '--older-than'],
    ['dead-letters replay 1 --explain --force', '--force'],
    ['dead-letters replay 1 --explain --topic orders', 'filters'],
    ['dead-letters replay 1 --explain --limit 5', '--limit'],
    ['held-streams release ledger orders k --retry --discard', '--discard'],
    ['migrate --adopt 0001_create_outbox.sql --only idempotency', '--only'],
  ])('%s: is refused with words, with nothing done', async (line, why) => {
    const away = () => Promise.reject(new Error('asked the database'))
    const { program } = setup(async (verb, flags, words) => {
      const client = { query: away } as unknown as Invocation['client']
      await verb({ client, schema: {}, flags: flags as never, words, output: { print() {}, note() {}, clear() {} } })
    })
    const end = program.parseAsync([...line.split(' '), '--yes'], { from: 'user' })

    await expect(end).rejects.toBeInstanceOf(UsageError)
    await expect(end).rejects.toThrow(why)
  })
})
