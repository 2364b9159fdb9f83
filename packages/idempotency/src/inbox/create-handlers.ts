import {
  type Catalog,
  type Delivery,
  type DeliveryHandler,
  OutboxError,
  type PayloadOf,
  PermanentFailure,
  type ReceivedMessage,
  schemaIn,
  UnknownTypeError,
  validatePayload,
} from '@malote/outbox-core'
import { IdempotencyError } from '../errors.ts'
import type { Inbox } from './inbox.ts'
import { type Database, databaseOption, type TransactionOf } from '../database/transaction.ts'

/**
 * What is done for a type: a function whose every effect goes through `tx`, or `'ignore'`: the message is acknowledged and nothing else.
 * The function may run more than once; what it did through `tx` is kept once.
 */
export type TypeHandler<Payload, Tx> = 'ignore' | ((payload: Payload, tx: Tx, delivery: Delivery) => Promise<void>)

/** One handler for each type of the catalog: a type that is forgotten is an error of the compiler. */
export type TypeHandlers<C extends Catalog, Tx> = {
  readonly [Type in keyof C & string]: TypeHandler<PayloadOf<C, Type>, Tx>
}

/**
 * Under which name and in which database `createHandlers` applies messages, and what becomes of a payload that does not fit.
 *
 * @typeParam Db - your database client, from which the type of a handler's `tx` follows
 */
export interface CreateHandlersOptions<Db extends Database> {
  readonly inbox: Inbox
  readonly db: Db
  /** Name of the consumer in the inbox. Never change it: the inbox would forget what was applied. */
  readonly consumer: string
  /**
   * What becomes of a message of a known type whose payload does not fit the schema. `retry`: as of an unknown type, it comes again and
   * spends no attempt, because the producer may have been deployed first; alarm on `message.unknown-type`. `dead-letter`: at once.
   *
   * @defaultValue "retry": a message that is only too new must not be lost from its order
   */
  readonly invalidPayload?: 'retry' | 'dead-letter'
}

/** The payload of a known type does not fit the schema this version has of it. Treated as an unknown type: it comes again. */
class UnknownShapeError extends UnknownTypeError {
  constructor(type: string, cause: OutboxError) {
    super(type)
    this.message = `${cause.message}. Deploy a consumer whose schema knows this shape`
    this.cause = cause
  }
}

/**
 * A consumer's handler made of one function for each type of the catalog that the producers use too. It parses and validates the
 * payload, calls the function of its type in a transaction, and applies each message once (`inbox.transact`).
 *
 * A type that the catalog lacks is never lost: `UnknownTypeError`, so that it comes again without spending an attempt until a version
 * is deployed that knows it.
 *
 * A body that is not JSON is validated as bytes (`Uint8Array`).
 *
 * @throws IdempotencyError `INVALID_OPTION` when a type of the catalog has neither a function nor `'ignore'`
 */
export function createHandlers<const C extends Catalog, Db extends Database>(
  catalog: C,
  handlers: TypeHandlers<C, TransactionOf<Db>>,
  options: CreateHandlersOptions<Db>,
): DeliveryHandler {
  const { inbox, db, consumer, invalidPayload = 'retry' } = options
  databaseOption(db)
  const byType = checkedHandlers<TransactionOf<Db>>(catalog, handlers)

  return async (delivery) => {
    const { message } = delivery
    const handler = byType.get(message.type)
    const schema = schemaIn(catalog, message.type)
    if (handler === undefined || schema === undefined) throw new UnknownTypeError(message.type)
    if (handler === 'ignore') return
    const payload = await validatePayload(schema, message.type, contentOf(message)).catch((error: unknown) => {
      if (!(error instanceof OutboxError)) throw error
      if (invalidPayload === 'retry') throw new UnknownShapeError(message.type, error)
      throw new PermanentFailure(error.message, { cause: error })
    })
    const identity = { consumer, messageId: message.id, occurredAt: message.createdAt }
    await inbox.transact(db, identity, (tx) => handler(payload, tx, delivery))
  }
}

function checkedHandlers<Tx>(catalog: Catalog, handlers: object): ReadonlyMap<string, TypeHandler<unknown, Tx>> {
  const given = new Map<string, unknown>(Object.entries(handlers))
  for (const type of Object.keys(catalog)) {
    const handler = given.get(type)
    if (typeof handler !== 'function' && handler !== 'ignore')
      throw new IdempotencyError(
        'INVALID_OPTION',
        `message type "${type}" of the catalog has no handler: give it a function, or 'ignore' to acknowledge it`,
      )
  }
  for (const type of given.keys())
    if (schemaIn(catalog, type) === undefined)
      throw new IdempotencyError('INVALID_OPTION', `handler "${type}" is for no type of the catalog: is it misspelled?`)
  return given as ReadonlyMap<string, TypeHandler<unknown, Tx>>
}

/** Its JSON, or its bytes. @throws OutboxError `UNDECODABLE_MESSAGE` when it says it is JSON and is none */
function contentOf(message: ReceivedMessage): unknown {
  return /^application\/(?:[^;]+\+)?json\s*(?:;|$)/i.test(message.contentType) ? message.json() : message.body
}
