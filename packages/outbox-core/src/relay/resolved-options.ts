import { hostname } from 'node:os'
import { reportTo } from '../adapter/report.ts'
import { warnOfTrouble } from '../warn-of-trouble.ts'
import { type Backoff, exponentialBackoff, inUpperHalf, soundBackoff } from '../backoff.ts'
import { type Clock, systemClock } from '../clock.ts'
import { OutboxError } from '../errors.ts'
import type { RelayEvent } from '../events.ts'
import { maxStoredBytes } from '../encode.ts'
import { invalidOption, numberOption } from '../options.ts'
import { schemaOption } from '../postgres/identifiers.ts'
import type { Publisher } from '../publisher.ts'
import { defaultTimeoutMs, neededConnections } from '../postgres/connections.ts'
import { wordsOf } from './foreign-input.ts'
import type { RelayOptions } from './relay-options.ts'
import type { RelayPool } from '../postgres/connections.ts'
import { type ResolvedMaintenance, resolveMaintenance } from './maintenance-options.ts'
import { Routes } from './routes.ts'

/** The relay's options with defaults filled in and checked. */
export interface ResolvedRelayOptions {
  readonly pool: RelayPool
  readonly publisher: Publisher
  readonly schema: string
  readonly name: string
  readonly batchSize: number
  readonly routes: Routes
  readonly maxBufferedMessages: number
  readonly maxBufferedBytes: number
  readonly maxBatchBytes: number
  readonly maxPayloadBytes: number
  readonly publishTimeoutMs: number
  readonly leaseMs: number
  readonly databaseTimeoutMs: number
  readonly pollIntervalMs: number
  readonly rescanIntervalMs: number
  readonly lingerMs: number
  readonly maxAttempts: number
  readonly backoff: Backoff
  readonly outageBackoff: Backoff
  readonly destinationBackoff: Backoff
  readonly afterDeadLetter: (topic: string) => 'hold' | 'skip'
  /** Undefined: nothing is archived. */
  readonly isArchived: ((topic: string) => boolean) | undefined
  readonly maintenance: ResolvedMaintenance
  readonly doorbell: boolean
  readonly presence: boolean
  readonly durableSettles: boolean
  readonly report: (event: RelayEvent) => void
  readonly clock: Clock
}

/** @throws OutboxError `INVALID_OPTION` */
export function resolveRelayOptions(options: RelayOptions): ResolvedRelayOptions {
  const { max } = (options.pool as { options?: { max?: number } }).options ?? {}
  if (max !== undefined && max < neededConnections) throw poolTooSmall(max)
  return {
    pool: options.pool,
    publisher: options.publisher,
    schema: schemaOption(options.schema),
    name: options.name ?? `${hostname()}:${String(process.pid)}`,
    batchSize: numberOption('batchSize', options.batchSize, 500, { min: 1, max: 10_000 }),
    routes: new Routes(options.publisher, numberOption('concurrency', options.concurrency, 4, { min: 1, max: 1_000 })),
    maxBufferedMessages: numberOption('maxBufferedMessages', options.maxBufferedMessages, 4_000, {
      min: 64,
      max: 1_000_000,
    }),
    maxBufferedBytes: numberOption('maxBufferedBytes', options.maxBufferedBytes, 16 * 1024 * 1024, { min: 65_536 }),
    maxBatchBytes: numberOption('maxBatchBytes', options.maxBatchBytes, 8 * 1024 * 1024, { min: 1 }),
    maxPayloadBytes: numberOption('maxPayloadBytes', options.maxPayloadBytes, maxStoredBytes, { min: 1 }),
    publishTimeoutMs: numberOption('publishTimeoutMs', options.publishTimeoutMs, 10_000, { min: 1 }),
    leaseMs: numberOption('leaseMs', options.leaseMs, 30_000, { min: 100 }),
    databaseTimeoutMs: numberOption('databaseTimeoutMs', options.databaseTimeoutMs, defaultTimeoutMs, { min: 10 }),
    pollIntervalMs: numberOption('pollIntervalMs', options.pollIntervalMs, 1_000, { min: 1 }),
    lingerMs: numberOption('lingerMs', options.lingerMs, 0, { min: 0, max: 10_000 }),
    rescanIntervalMs: numberOption('rescanIntervalMs', options.rescanIntervalMs, 60_000, { min: 4 }),
    maxAttempts: numberOption('maxAttempts', options.maxAttempts, 10, { min: 1 }),
    backoff: soundBackoff(options.backoff),
    outageBackoff: soundBackoff(options.outageBackoff, exponentialBackoff({ baseMs: 200, maxMs: 30_000 })),
    destinationBackoff: soundBackoff(
      options.destinationBackoff,
      exponentialBackoff({ baseMs: 200, maxMs: 1_600, random: inUpperHalf }),
    ),
    afterDeadLetter: choiceOf('afterDeadLetter', options.afterDeadLetter, ['hold', 'skip']),
    isArchived: archivedTopics(options.afterPublish),
    maintenance: resolveMaintenance(options.maintenance),
    doorbell: options.doorbell ?? true,
    presence: options.presence ?? true,
    durableSettles: options.durableSettles ?? false,
    report: reportTo(options.onEvent ?? warnOfTrouble()),
    clock: options.clock ?? systemClock,
  }
}

type Choice<Word> = Word | ((topic: string) => Word)

/** Whatever is not exactly the second word is the first, the careful one: a key that is held can be released, and what is archived deleted. */
function choiceOf<Word extends string>(
  option: string,
  given: Choice<Word> | undefined,
  [careful, other]: readonly [Word, Word],
): (topic: string) => Word {
  if (given === undefined || given === careful) return () => careful
  if (given === other) return () => other
  if (typeof given !== 'function')
    throw invalidOption(option, given, `"${careful}", "${other}", or a function of the topic`)
  let warned = false
  return (topic) => {
    let problem: unknown
    try {
      const choice: unknown = given(topic)
      if (choice === careful || choice === other) return choice as Word
      if (choice instanceof Promise) choice.catch(() => {}) // Reported below as what it is: no choice.
      problem = `it returned ${wordsOf(choice)}`
    } catch (error) {
      problem = wordsOf(error)
    }
    if (!warned)
      process.emitWarning(
        `${option} gave neither "${careful}" nor "${other}", so it is "${careful}" (reported once): ${String(problem)}`,
        'MaloteWarning',
      )
    warned = true
    return careful
  }
}

function archivedTopics(given: RelayOptions['afterPublish']): ((topic: string) => boolean) | undefined {
  if (given === undefined || given === 'delete') return undefined
  const choice = choiceOf('afterPublish', given, ['archive', 'delete'])
  return (topic) => choice(topic) === 'archive'
}

/** With fewer it would wait for a connection of its own for ever. */
function poolTooSmall(max: number): OutboxError {
  const needed = String(neededConnections)
  return new OutboxError(
    'INVALID_OPTION',
    `option "pool" has max ${String(max)}: a relay takes ${needed} connections for as long as it works, so give it a pool of its own with max ${needed} or more`,
  )
}
