import { createInterface } from 'node:readline/promises'
import { createDeadLetters } from '../dead-letters.ts'
import { examine } from '../doctor.ts'
import { createHeldKeys } from '../held-keys.ts'
import { migrate, type MigrationClient } from '../postgres/migrate.ts'
import type { Queryable } from '../postgres/queryable.ts'
import { outboxStatus } from '../status.ts'
import { type Output, table } from './output.ts'

/** What a command is run with. */
export interface Invocation {
  readonly client: MigrationClient & Queryable
  readonly schema: { readonly schema?: string }
  readonly flags: Readonly<Record<string, string | boolean | undefined>>
  /** The words after the command's name. */
  readonly words: readonly string[]
  readonly output: Output
  /** Ends the process with the usage and exit code 2. */
  readonly refuse: (why: string) => never
}

/** @returns the exit code */
type Command = (invocation: Invocation) => Promise<number>

export const commands: Readonly<Record<string, Command>> = {
  migrate: async ({ client, schema, flags, output }) => {
    const dryRun = flags['dry-run'] === true
    const migrations = await migrate(client, { ...schema, dryRun })
    const names = migrations.map((migration) => migration.name)
    if (migrations.length === 0) output.print(names, ['nothing to do'])
    else if (dryRun)
      output.print(
        migrations,
        migrations.map((migration) => `-- ${migration.name}\n${migration.sql}`),
      )
    else
      output.print(
        names,
        names.map((name) => `applied ${name}`),
      )
    return 0
  },

  status: async ({ client, schema, output }) => {
    const status = await outboxStatus(client, schema)
    const oldest = status.oldestReadyMs === null ? '' : `, oldest ${(status.oldestReadyMs / 1000).toFixed(1)} s`
    output.print(status, [
      `ready         ${String(status.ready)}${oldest}`,
      `waiting       ${String(status.waiting)}`,
      `scheduled     ${String(status.scheduled)}`,
      `dead letters  ${String(status.deadLetters)}`,
      `held keys     ${String(status.heldKeys)}`,
      `lanes without relay  ${String(status.lanesWithoutRelay)}`,
      ...table([
        ['relay', 'name', 'lanes', 'lease ms'],
        ...status.relays.map((relay) => [relay.id, relay.name, relay.lanes, relay.leaseMs]),
      ]),
    ])
    return 0
  },

  doctor: async ({ client, schema, output }) => {
    const findings = await examine(client, schema)
    output.print(findings, table(findings.map((finding) => [finding.level, finding.check, finding.detail])))
    return findings.some((finding) => finding.level === 'problem') ? 1 : 0
  },

  'dead-letters list': async ({ client, schema, output }) => {
    const letters = await createDeadLetters({ db: client, ...schema }).list({ limit: 1_000 })
    const rows = letters.map((letter) => [
      letter.deadLetterId,
      letter.diedAt.toISOString(),
      letter.topic,
      letter.type,
      letter.reason,
      letter.attempts,
      letter.lastFailure?.code ?? null,
    ])
    output.print(letters, table([['id', 'died', 'topic', 'type', 'reason', 'attempts', 'last failure'], ...rows]))
    return 0
  },

  'dead-letters show': async ({ client, schema, words, output, refuse }) => {
    const [deadLetterId] = ids(words, refuse)
    // The body stays out of sight unless it is asked for as JSON: terminals are recorded.
    const letter = await createDeadLetters({ db: client, ...schema }).get(deadLetterId)
    const { body, failures, lastFailure: _, headers, ...rest } = letter
    const facts = Object.entries({
      ...rest,
      headers: Object.keys(headers).join(', ') || null,
      bytes: Buffer.byteLength(body),
    })
    output.print({ ...letter, body: typeof body === 'string' ? body : Buffer.from(body).toString('base64') }, [
      ...table(facts.map(([name, value]) => [name, value instanceof Date ? value.toISOString() : value])),
      ...failures.map((failure) => `${failure.at}  ${failure.code}  ${failure.message}`),
    ])
    return 0
  },

  'dead-letters replay': async (invocation) => {
    const deadLetterIds = ids(invocation.words, invocation.refuse)
    const done = await createDeadLetters({ db: invocation.client, ...invocation.schema }).replay(deadLetterIds)
    return report(invocation, 'replayed', done, deadLetterIds.length)
  },

  'dead-letters discard': async (invocation) => {
    const deadLetterIds = ids(invocation.words, invocation.refuse)
    if (!(await confirmed(invocation, `Delete ${String(deadLetterIds.length)} dead letters for ever?`))) return 1
    const done = await createDeadLetters({ db: invocation.client, ...invocation.schema }).discard(deadLetterIds)
    return report(invocation, 'discarded', done, deadLetterIds.length)
  },

  'held-keys list': async ({ client, schema, output }) => {
    const keys = await createHeldKeys({ db: client, ...schema }).list({ limit: 1_000 })
    const rows = keys.map((key) => [
      key.topic,
      key.orderingKey,
      key.deadLetterId,
      key.heldAt.toISOString(),
      key.waiting,
    ])
    output.print(keys, table([['topic', 'key', 'dead letter', 'held', 'waiting'], ...rows]))
    return 0
  },

  'held-keys release': async (invocation) => {
    const [topic, orderingKey] = invocation.words
    if (topic === undefined || orderingKey === undefined)
      return invocation.refuse('held-keys release needs TOPIC and KEY')
    const wasHeld = await createHeldKeys({ db: invocation.client, ...invocation.schema }).release(topic, orderingKey)
    return report(invocation, 'released', wasHeld ? 1 : 0, 1)
  },

  purge: async (invocation) => {
    const days = Number(invocation.flags['older-than'])
    if (!(days >= 0)) return invocation.refuse('purge needs --older-than DAYS, a number from 0')
    if (!(await confirmed(invocation, `Delete every dead letter older than ${String(days)} days for ever?`))) return 1
    const done = await createDeadLetters({ db: invocation.client, ...invocation.schema }).purge(days)
    return report(invocation, 'purged', done, 0)
  },
}

function ids(words: readonly string[], refuse: (why: string) => never): [string, ...string[]] {
  const wrong = words.find((word) => !/^\d{1,19}$/.test(word))
  if (wrong !== undefined) refuse(`"${wrong}" is no dead letter's id: see \`malote dead-letters list\``)
  const [first, ...others] = words
  return first === undefined ? refuse('which one? give at least one id') : [first, ...others]
}

/** Fewer than asked for is a failure: someone else was faster, or the id is wrong. */
function report({ output }: Invocation, verb: string, done: number, wanted: number): number {
  output.print({ [verb]: done }, [
    `${verb} ${String(done)}${done < wanted ? ` of ${String(wanted)}: the others are not there` : ''}`,
  ])
  return done < wanted ? 1 : 0
}

async function confirmed({ flags, refuse }: Invocation, question: string): Promise<boolean> {
  if (flags['yes'] === true) return true
  if (!process.stdin.isTTY) return refuse('this deletes: say --yes when nobody is there to ask')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`${question} [y/N] `)
  terminal.close()
  return /^y(es)?$/i.test(answer.trim())
}
