import { createHash, randomUUID } from 'node:crypto'
import { receivedMessage } from './received-message.ts'
import type { ReceivedMessage } from './received-message.ts'
import type { DeadLetterNote } from './dead-letter-note.ts'
import { invalidOption } from './options.ts'
import { consumerStoreStatements } from './postgres/consumer-store-statements.ts'
import { guardPool } from './postgres/guard-pool.ts'
import { schemaOption } from './postgres/identifiers.ts'
import { type Queryable, sqlStateOf } from './postgres/queryable.ts'

/** What is known of a message that was delivered before, and of its stream. */
export interface MessageHistory {
  /** Calls of the handler that were counted. */
  readonly calls: number
  /** Those of them that never ended: their process died meanwhile. */
  readonly unended: number
  /** Whether the message's stream waits behind a dead letter. */
  readonly isHeld: boolean
}

/**
 * What a consumer must remember over processes and deployments: exact attempts, and streams that wait behind a dead letter.
 * Every process of a consumer shares one. See `createConsumerStore`.
 */
export interface ConsumerStore {
  look(message: StreamedMessage): Promise<MessageHistory>
  /** Before a call that may be the death of the process. */
  begin(id: string): Promise<void>
  /** After a call that `begin` announced and that did not succeed. @param spends - whether it counts as an attempt */
  ended(id: string, spends: boolean): Promise<void>
  /** After a first call, which nothing announced, that failed. */
  count(id: string, calls: number): Promise<void>
  /** The message was handled, or is dead. */
  forget(id: string): Promise<void>
  /** Forgets calls of messages that have not been heard of for this many days. */
  sweep(days: number): Promise<void>
  /** Stops the stream behind this message. */
  hold(message: ReceivedMessage, note: DeadLetterNote): Promise<void>
  /** Puts the message behind the others of its held stream. False: the stream is not held any more, handle the message. */
  park(message: ReceivedMessage): Promise<boolean>
  /** Takes a released stream on, for so long unless renewed. Null: there is none. */
  claimReleased(leaseMs: number): Promise<ReleasedStream | null>
}

/** A stream an operator let go on. Messages of it that arrive meanwhile wait here too, so that none passes another. */
export interface ReleasedStream {
  next(): Promise<{ readonly position: string; readonly message: ReceivedMessage } | null>
  /** The message was handled. False: the stream is not ours any more. */
  done(position: string): Promise<boolean>
  /** False: the stream is not ours any more. */
  renew(leaseMs: number): Promise<boolean>
  /** Ends the hold, unless a message waits: then the stream is given back and claimed again. */
  end(): Promise<void>
  /** Gives the stream back as it is. */
  giveBack(): Promise<void>
}

/** The part of a message by which it is found. */
export type StreamedMessage = Pick<ReceivedMessage, 'id' | 'topic' | 'orderingKey'>

/** Which consumer a `createConsumerStore` remembers for, and in which database. */
export interface ConsumerStoreOptions {
  /** A `pg` pool, or anything that runs a statement: each call is one statement, complete in itself. */
  readonly db: Queryable
  /** Name of the consumer, the same in all its processes. Never change it: attempts and held streams would be forgotten. */
  readonly consumer: string
  /** @defaultValue "malote" */
  readonly schema?: string
}

/**
 * Keeps in PostgreSQL what a consumer must remember: hand it to the consumer as `store`. Its tables come with `migrate`. Best in the
 * database of the handler's effects: when that is away the consumer has nothing to do anyway.
 *
 * It costs nothing for a message that is handled at its first delivery, and three short statements for each other. With `afterDeadLetter:
 * 'hold'` each message with a key costs one more, which asks whether its stream is held.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createConsumerStore(options: ConsumerStoreOptions): ConsumerStore {
  const { db, consumer } = options
  if (typeof consumer !== 'string' || consumer === '') throw invalidOption('consumer', consumer, 'a name')
  const statements = consumerStoreStatements(schemaOption(options.schema))
  guardPool(db)

  const run = async (name: keyof typeof statements, ...values: unknown[]): Promise<Record<string, unknown>[]> =>
    (await db.query(statements[name], [consumer, ...values])).rows

  return {
    look: async (message) => {
      const stream = message.orderingKey === null ? null : streamHash(message.topic, message.orderingKey)
      return (await run('look', hash(message.id), stream))[0] as unknown as MessageHistory
    },
    begin: async (id) => void (await run('begin', hash(id))),
    ended: async (id, spends) => void (await run('ended', hash(id), spends ? 0 : 1)),
    count: async (id, calls) => void (await run('count', hash(id), calls)),
    forget: async (id) => void (await run('forget', hash(id))),
    sweep: async (days) => void (await run('sweep', days)),
    hold: async (message, note) => {
      const key = message.orderingKey ?? ''
      const place = [streamHash(message.topic, key), printable(message.topic), printable(key)]
      await run('hold', ...place, ...partsOf(message), JSON.stringify(note))
    },
    park: async (message) => {
      const stream = streamHash(message.topic, message.orderingKey ?? '')
      const rows = await run('park', stream, ...partsOf(message)).catch(whenStreamMoved)
      return rows?.[0]?.['isHeld'] === true
    },
    claimReleased: async (leaseMs) => {
      const claim = randomUUID()
      const [row] = await run('claim', claim, leaseMs)
      return row === undefined ? null : releasedStream(run, row['stream'], claim)
    },
  }
}

function releasedStream(
  run: (
    name: 'next' | 'done' | 'renew' | 'end' | 'unclaim',
    ...values: unknown[]
  ) => Promise<Record<string, unknown>[]>,
  stream: unknown,
  claim: string,
): ReleasedStream {
  const giveBack = async (): Promise<void> => void (await run('unclaim', stream, claim))
  return {
    next: async () => {
      const [row] = await run('next', stream, claim)
      return row === undefined
        ? null
        : { position: row['position'] as string, message: decodeMessage(row['content'] as Uint8Array) }
    },
    done: async (position) => (await run('done', stream, claim, position)).length > 0,
    renew: async (leaseMs) => (await run('renew', stream, claim, leaseMs)).length > 0,
    end: async () => {
      if ((await run('end', stream, claim).catch(whenStreamMoved)) === null) await giveBack()
    },
    giveBack,
  }
}

/** The foreign key: a message came as the hold ended, or the hold ended as a message came. */
function whenStreamMoved(error: unknown): null {
  if (sqlStateOf(error) === '23503') return null
  throw error
}

const hash = (text: string): Buffer => createHash('sha256').update(text).digest()

/** The name of a stream in the tables. */
export const streamHash = (topic: string, orderingKey: string): Buffer => hash(JSON.stringify([topic, orderingKey]))

/** PostgreSQL's text has no NUL. These columns are for people. */
const printable = (text: string): string => text.replaceAll('\0', '\u2400').toWellFormed().slice(0, 1_000)

function partsOf(message: ReceivedMessage): unknown[] {
  return [hash(message.id), printable(message.id), printable(message.type), encodeMessage(message)]
}

function encodeMessage({ attributes = {}, ...message }: ReceivedMessage): Buffer {
  const { id, type, topic, orderingKey, headers, contentType, createdAt } = message
  const body = Buffer.from(message.body).toString('base64')
  return Buffer.from(
    JSON.stringify({ id, type, topic, orderingKey, headers, contentType, createdAt, attributes, body }),
  )
}

function decodeMessage(content: Uint8Array): ReceivedMessage {
  const stored = JSON.parse(Buffer.from(content).toString()) as Omit<ReceivedMessage, 'body' | 'createdAt'> & {
    readonly body: string
    readonly createdAt: string
  }
  const { id, type, topic, orderingKey, headers, contentType, createdAt, body, attributes = {} } = stored
  const named = { ...attributes, id, type, ...(orderingKey === null ? {} : { partitionkey: orderingKey }) }
  const parts = { attributes: named, body: new Uint8Array(Buffer.from(body, 'base64')), contentType, topic, headers }
  return { ...receivedMessage(parts), attributes, createdAt: new Date(createdAt) }
}
