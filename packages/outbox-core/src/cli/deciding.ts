import { createDeadLetters, type DeadLetter } from '../dead-letters.ts'
import { explainReplay, forgottenAmong } from '../explain-replay.ts'
import { createHeldKeys } from '../held-keys.ts'
import { createTopics, type Steering } from '../topics.ts'
import { confirmed, decision, type Invocation, report, UsageError, type Verb } from './invocation.ts'
import { given } from './looking.ts'
import { iso, table } from './output.ts'

export interface FilterFlags {
  readonly topic?: string
  readonly type?: string
  readonly deathReason?: DeadLetter['reason']
  readonly key?: string
  readonly since?: Date
  readonly limit?: number
}

const deadLetters = ({ client, schema }: Invocation) => createDeadLetters({ db: client, ...schema })

function find(invocation: Invocation<FilterFlags>): Promise<readonly DeadLetter[]> {
  const { topic, type, deathReason: reason, key: orderingKey, since, limit } = invocation.flags
  return deadLetters(invocation).list(given({ topic, type, reason, orderingKey, since, limit }))
}

function letterTable(letters: readonly DeadLetter[]): string[] {
  const rows = letters.map((letter) => [
    letter.deadLetterId,
    iso(letter.diedAt),
    letter.topic,
    letter.type,
    letter.orderingKey,
    letter.id,
    letter.reason,
    letter.attempts,
    letter.lastFailure === null ? null : `${letter.lastFailure.code} ${letter.lastFailure.message.slice(0, 80)}`,
  ])
  return table([['id', 'died', 'topic', 'type', 'key', 'message id', 'reason', 'attempts', 'last failure'], ...rows])
}

export const listDeadLetters: Verb<FilterFlags> = async (invocation) => {
  const letters = await find(invocation)
  invocation.output.print(letters, letterTable(letters))
  return 0
}

export const showDeadLetter: Verb = async (invocation) => {
  const [deadLetterId = ''] = ids(invocation.words)
  // The body stays out of sight unless it is asked for as JSON: terminals are recorded.
  const letter = await deadLetters(invocation).get(deadLetterId)
  const { body, failures, lastFailure: _, headers, ...rest } = letter
  const facts = Object.entries({
    ...rest,
    headers: Object.keys(headers).join(', ') || null,
    bytes: Buffer.byteLength(body),
  })
  invocation.output.print({ ...letter, body: typeof body === 'string' ? body : Buffer.from(body).toString('base64') }, [
    ...table(facts.map(([name, value]) => [name, value instanceof Date ? iso(value) : value])),
    ...failures.map((failure) => `${failure.at}  ${failure.code}  ${failure.message}`),
  ])
  return 0
}

export const replay: Verb<FilterFlags & { explain?: boolean; force?: boolean }> = async (invocation) => {
  const { flags } = invocation
  if (flags.explain === true) return explain(invocation)
  return decide(invocation, 'replayed', 'Replay', async (letters, ids) => {
    const forgotten = await forgottenAmong({ db: invocation.client, ...invocation.schema }, ids)
    if (forgotten !== null && (flags.force !== true || flags.reason === undefined))
      throw new UsageError(
        `dead letter ${forgotten.deadLetterId} is older than what the inbox of "${forgotten.consumer}" remembers, and would be refused as stale: see --explain; to replay it all the same say --force --reason`,
      )
    return letters.replay(ids, decision(invocation))
  })
}

const explanations = ({ client, schema }: Invocation, ids: readonly string[]) =>
  explainReplay({ db: client, ...schema }, ids)

/** Changes nothing. Exit code 3: no inbox could be looked at. */
async function explain(invocation: Invocation<FilterFlags & { force?: boolean }>): Promise<number> {
  const { flags, words, output } = invocation
  isFilteredAlone(invocation)
  const named = words.length > 0 ? ids(words) : null
  if (flags.force === true) throw new UsageError('--explain changes nothing: leave out --force')
  const chosen = named ?? (await find(invocation)).map(({ deadLetterId }) => deadLetterId)
  const explained = await explanations(invocation, chosen)
  if (explained === null) {
    output.print(null, ['no inbox is in this schema, or this role may not read it: nothing is known about consumers'])
    return 3
  }
  const rows = explained.map(({ deadLetterId, id, consumer, outcome, appliedAt }) => [
    deadLetterId,
    id,
    consumer,
    outcome,
    iso(appliedAt),
  ])
  output.print(explained, table([['id', 'message id', 'consumer', 'outcome', 'applied'], ...rows]))
  return 0
}

export const discard: Verb<FilterFlags> = (invocation) =>
  decide(invocation, 'discarded', 'Delete for ever', (letters, ids) => letters.discard(ids, decision(invocation)))

/** By ids, or by filter: what matches is shown before anything is done, and `--limit` bounds it. */
async function decide(
  invocation: Invocation<FilterFlags>,
  done: string,
  question: string,
  act: (letters: ReturnType<typeof createDeadLetters>, ids: readonly string[]) => Promise<number>,
): Promise<number> {
  const { words, output } = invocation
  const isFiltered = isFilteredAlone(invocation)
  const chosen = isFiltered ? (await find(invocation)).map((letter) => letter) : null
  const wanted = chosen === null ? ids(words) : chosen.map(({ deadLetterId }) => deadLetterId)
  if (chosen !== null) output.note(letterTable(chosen))
  // A replay of named ids can be undone by nothing worse than another dead letter; all else asks.
  const mustAsk = isFiltered || done === 'discarded'
  if (
    wanted.length > 0 &&
    mustAsk &&
    !(await confirmed(invocation, `${question} ${String(wanted.length)} dead letters?`))
  )
    return 1
  return report(invocation, done, wanted.length === 0 ? 0 : await act(deadLetters(invocation), wanted), wanted.length)
}

/**
 * Whether letters are chosen by a filter.
 *
 * @throws UsageError when ids are given too; beside a limit as well, since more would be done than it says
 */
function isFilteredAlone({ flags, words }: Invocation<FilterFlags>): boolean {
  const filters = [flags.topic, flags.type, flags.deathReason, flags.key, flags.since]
  const isFiltered = filters.some((value) => value !== undefined)
  if ((isFiltered || flags.limit !== undefined) && words.length > 0)
    throw new UsageError('give ids or filters such as --limit, not both')
  return isFiltered
}

/** Who and why must be said: others will ask why a topic stands still. */
function steering(invocation: Invocation): Steering {
  const { operator = '', reason } = decision(invocation)
  if (reason === undefined) throw new UsageError('say why, with --reason: others will ask why it stands still')
  return { by: operator, reason }
}

const topics = ({ client, schema }: Invocation) => createTopics({ db: client, ...schema })

export const pauseTopic: Verb = async (invocation) => {
  const done = await topics(invocation).pause(invocation.words[0] ?? '', steering(invocation))
  return report(invocation, 'paused', done ? 1 : 0, 1)
}

export const resumeTopic: Verb = async (invocation) => {
  const done = await topics(invocation).resume(invocation.words[0] ?? '', decision(invocation))
  return report(invocation, 'resumed', done ? 1 : 0, 1)
}

export const listPausedTopics: Verb = async (invocation) => {
  const paused = await topics(invocation).listPaused()
  const rows = paused.map(({ topic, pausedAt, pausedBy, reason }) => [topic, iso(pausedAt), pausedBy, reason])
  invocation.output.print(paused, table([['topic', 'paused', 'by', 'reason'], ...rows]))
  return 0
}

export const holdKey: Verb = async (invocation) => {
  const [topic = '', orderingKey = ''] = invocation.words
  const keys = createHeldKeys({ db: invocation.client, ...invocation.schema })
  return report(invocation, 'held', (await keys.hold(topic, orderingKey, steering(invocation))) ? 1 : 0, 1)
}

export const releaseHeldKey: Verb = async (invocation) => {
  const [topic = '', orderingKey = ''] = invocation.words
  const keys = createHeldKeys({ db: invocation.client, ...invocation.schema })
  return report(invocation, 'released', (await keys.release(topic, orderingKey, decision(invocation))) ? 1 : 0, 1)
}

/** What a bigint of PostgreSQL holds. */
const greatestId = 2n ** 63n - 1n

function ids(words: readonly string[]): readonly string[] {
  const wrong = words.find((word) => !/^\d{1,19}$/.test(word) || BigInt(word) > greatestId)
  if (wrong !== undefined)
    throw new UsageError(`"${wrong}" is not the id of a dead letter: see \`malote dead-letters list\``)
  if (words.length === 0) throw new UsageError('which one? give at least one id, or a filter such as --topic')
  return [...new Set(words)] // One that is named twice is decided about once.
}
