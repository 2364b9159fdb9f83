import type { Decision, DeadLettersOptions } from './dead-letters.ts'
import { OutboxError } from './errors.ts'
import { schemaOption } from './postgres/identifiers.ts'
import { operatorStatements } from './postgres/operator-statements.ts'

/** Who does something to the relays by hand, and why. Kept for whoever looks at it later. */
export interface Steering {
  /** For example a person's name or the number of a change. */
  readonly by: string
  readonly reason: string
}

/** A topic of which nothing is published until an operator lets it go on. */
export interface PausedTopic {
  readonly topic: string
  readonly pausedBy: string
  readonly reason: string
  readonly pausedAt: Date
}

/** For operators: stop what goes to one place, and nothing else. */
export interface Topics {
  /** Oldest first. */
  listPaused(): Promise<readonly PausedTopic[]>
  /**
   * Stops publishing the topic within a second, on every relay, until `resume`. Messages go on being added and keep their
   * order; what is in flight ends. Other topics lose nothing. Survives restarts.
   *
   * @returns false when it was paused already: who did it first stays noted
   * @throws OutboxError `INVALID_OPTION`
   */
  pause(topic: string, steering: Steering): Promise<boolean>
  /** Goes on from where the topic stopped. @returns whether it was paused */
  resume(topic: string, decision?: Decision): Promise<boolean>
}

/** @throws OutboxError `INVALID_OPTION` */
export function createTopics(options: DeadLettersOptions): Topics {
  const schema = schemaOption(options.schema)
  const statements = operatorStatements(schema)
  const change = async (statement: string, values: readonly unknown[]): Promise<boolean> => {
    const { rows } = await options.db.query(statement, [...values, schema])
    return Number(rows[0]?.['done']) > 0
  }
  return {
    listPaused: async () => (await options.db.query(statements.listPausedTopics, [])).rows as unknown as PausedTopic[],
    pause: async (topic, steering) => change(statements.pauseTopic, [topic, ...steeringOf(steering)]),
    resume: (topic, { operator, reason } = {}) =>
      change(statements.resumeTopic, [topic, operator ?? null, reason ?? null]),
  }
}

/** @throws OutboxError `INVALID_OPTION` */
export function steeringOf({ by, reason }: Steering): readonly [by: string, reason: string] {
  for (const [name, value] of Object.entries({ by, reason }))
    if (typeof value !== 'string' || value.trim() === '')
      throw new OutboxError('INVALID_OPTION', `"${name}" must say ${name === 'by' ? 'who does this' : 'why'}`)
  return [by, reason]
}
