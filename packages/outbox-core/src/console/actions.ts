import { createDeadLetters, type Decision } from '../dead-letters.ts'
import { OutboxError } from '../errors.ts'
import { forgottenAmong } from '../explain-replay.ts'
import { createHeldKeys } from '../held-keys.ts'
import { createHeldStreams } from '../held-streams.ts'
import type { Queryable } from '../postgres/queryable.ts'
import { createTopics, type Steering } from '../topics.ts'
import type { Refusal } from './answers.ts'

/** How many there were of how many; fewer means that somebody was faster. */
export interface Done {
  readonly done: number
  readonly wanted: number
}

export interface Asked {
  readonly db: Queryable
  readonly schema: string
  /** What the page sent; nothing about it is known. */
  readonly body: Readonly<Record<string, unknown>>
  readonly decision: Required<Decision>
}

type Action = (asked: Asked) => Promise<Done | Refusal>

/** Most dead letters of one decision. */
const most = 1_000
/** What a person writes, in characters. A name is as long as it is. */
const longestText = 2_000

const steeringBy = ({ operator, reason }: Required<Decision>): Steering => ({ by: operator, reason })

const one = (isDone: boolean): Done => ({ done: isDone ? 1 : 0, wanted: 1 })

/** What an operator can do here. Each is what the command line does, by the same functions, and is written into the audit by them. */
export const actions: Readonly<Record<string, Action>> = {
  replay: async ({ db, schema, body, decision }) => {
    const ids = idsIn(body)
    if (body['force'] !== true) {
      const forgotten = await forgottenAmong({ db, schema }, ids)
      if (forgotten !== null)
        return {
          status: 409,
          code: 'FORGOTTEN',
          detail: `dead letter ${forgotten.deadLetterId} is older than what the inbox of "${forgotten.consumer}" remembers: that consumer would refuse it as stale. Nothing was replayed.`,
        }
    }
    return { done: await createDeadLetters({ db, schema }).replay(ids, decision), wanted: ids.length }
  },
  discard: async ({ db, schema, body, decision }) => {
    const ids = idsIn(body)
    return { done: await createDeadLetters({ db, schema }).discard(ids, decision), wanted: ids.length }
  },
  'hold-key': async ({ db, schema, body, decision }) => {
    const orderingKey = textIn(body, 'orderingKey') // As it is written: a key may begin with a blank.
    if (orderingKey === '')
      throw new OutboxError('INVALID_OPTION', '"orderingKey" must be a text of 1 character or more')
    return one(await createHeldKeys({ db, schema }).hold(textIn(body, 'topic'), orderingKey, steeringBy(decision)))
  },
  'release-key': async ({ db, schema, body, decision }) =>
    one(await createHeldKeys({ db, schema }).release(textIn(body, 'topic'), textIn(body, 'orderingKey'), decision)),
  'release-stream': async ({ db, schema, body, decision }) => {
    const [consumer, topic, orderingKey] = ['consumer', 'topic', 'orderingKey'].map((name) => textIn(body, name))
    const what = textIn(body, 'what') as 'retry' | 'discard' // Anything else is refused there.
    const stream = { consumer, topic, orderingKey } as { consumer: string; topic: string; orderingKey: string }
    return one(await createHeldStreams({ db, schema }).release(stream, what, decision))
  },
  'pause-topic': async ({ db, schema, body, decision }) => {
    return one(await createTopics({ db, schema }).pause(textIn(body, 'topic'), steeringBy(decision)))
  },
  'resume-topic': async ({ db, schema, body, decision }) =>
    one(await createTopics({ db, schema }).resume(textIn(body, 'topic'), decision)),
}

/** @throws OutboxError `INVALID_OPTION` when either says nothing: others will ask who and why */
export function decisionIn(body: Readonly<Record<string, unknown>>, operator: string | null): Required<Decision> {
  return { operator: operator ?? saidIn(body, 'operator'), reason: saidIn(body, 'reason') }
}

export function idsIn(body: Readonly<Record<string, unknown>>): readonly string[] {
  const ids = body['deadLetterIds']
  const isList = Array.isArray(ids) && ids.length > 0 && ids.length <= most
  if (!isList || !ids.every((id) => typeof id === 'string' && /^\d{1,19}$/.test(id)))
    throw new OutboxError('INVALID_OPTION', `"deadLetterIds" must be 1 to ${String(most)} ids of dead letters`)
  return ids as string[]
}

function saidIn(body: Readonly<Record<string, unknown>>, name: string): string {
  const text = textIn(body, name).trim()
  if (text === '' || text.length > longestText)
    throw new OutboxError('INVALID_OPTION', `"${name}" must be a text of 1 to ${String(longestText)} characters`)
  return text
}

function textIn(body: Readonly<Record<string, unknown>>, name: string): string {
  const text = body[name]
  if (typeof text !== 'string') throw new OutboxError('INVALID_OPTION', `"${name}" must be a text`)
  return text
}
