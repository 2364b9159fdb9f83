import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { createProgram } from '../src/cli/program.ts'

/** A program whose verbs only say that they were called, and the verbs themselves: what has no verbs under it. */
function setup() {
  const called: string[] = []
  const note = (): Promise<void> => {
    called.push('called')
    return Promise.resolve()
  }
  const program = createProgram('0', note, note, note)
  const below = (command: Command): Command[] =>
    command.commands.length === 0 ? [command] : command.commands.flatMap(below)
  const verbs = below(program)
  for (const command of [program, ...program.commands, ...verbs]) command.exitOverride()
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
