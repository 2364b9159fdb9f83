import { userInfo } from 'node:os'
import { createInterface } from 'node:readline/promises'
import type { Decision } from '../dead-letters.ts'
import type { MigrationClient } from '../postgres/migrate.ts'
import type { Queryable } from '../postgres/queryable.ts'
import type { Output } from './output.ts'

/** The options that every verb has. */
export interface CommonFlags {
  readonly databaseUrl?: string
  readonly schema?: string
  readonly json?: boolean
  readonly operator?: string
  readonly reason?: string
  readonly yes?: boolean
}

/** What a verb is run with. */
export interface Invocation<Flags = unknown> {
  readonly client: MigrationClient & Queryable
  readonly schema: { readonly schema?: string }
  readonly flags: CommonFlags & Flags
  /** The verb's arguments. */
  readonly words: readonly string[]
  readonly output: Output
}

/** @returns the exit code */
export type Verb<Flags = unknown> = (invocation: Invocation<Flags>) => Promise<number>

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Who decides and why, for the record. Nobody is asked: who the shell belongs to is known. */
export function decision({ flags }: Invocation): Decision {
  const operator = flags.operator ?? accountName()
  return flags.reason === undefined ? { operator } : { operator, reason: flags.reason }
}

/** @throws UsageError where the account has no name, as in a container with a number for a user */
function accountName(): string {
  try {
    return userInfo().username
  } catch (cause) {
    throw new UsageError('who decides? say --operator: this account has no name', { cause })
  }
}

/** @throws UsageError when nobody is there to ask */
export async function confirmed({ flags }: Pick<Invocation, 'flags'>, question: string): Promise<boolean> {
  if (flags.yes === true) return true
  if (!process.stdin.isTTY) throw new UsageError(`${question} Say --yes when nobody is there to ask.`)
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`${question} [y/N] `)
  terminal.close()
  return /^y(es)?$/i.test(answer.trim())
}

/** Fewer than asked for is a failure: someone else was faster, or the id is wrong. */
export function report({ output }: Invocation, verb: string, done: number, wanted: number): number {
  const others = done < wanted ? ` of ${String(wanted)}: the others are not there, or are so already` : ''
  output.print({ [verb]: done }, [`${verb} ${String(done)}${others}`])
  return done < wanted ? 1 : 0
}
