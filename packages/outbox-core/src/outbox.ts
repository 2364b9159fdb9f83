import { type Catalog, completeMessage, type GivenMessage, type MessageOf } from './catalog.ts'
import { defaultMaxPayloadBytes, encodeMessage, isScheduled, maxStoredBytes, type MessageRow } from './encode.ts'
import { numberOption } from './options.ts'
import { OutboxError } from './errors.ts'
import { type MessageId, type NewMessage, streamOf } from './message.ts'
import { schemaOption } from './postgres/identifiers.ts'
import { type OutboxTransaction, type Queryable, sqlStateOf, transactionQueryable } from './postgres/queryable.ts'
import { type WriterStatements, writerStatements } from './postgres/statements.ts'

/**
 * What `createOutbox` needs to know: where the tables are, which messages there are, and how their order is decided. Everything has a default.
 *
 * @typeParam C - the catalog, from which the types and payloads of `add` follow
 */
export interface OutboxOptions<C extends Catalog = Catalog> {
  /** Schema the outbox tables live in. @defaultValue "malote" */
  readonly schema?: string
  /** Types of messages, the schemas of their payloads and, where given, their topics. Default: any type, payloads not validated. */
  readonly catalog?: C
  /**
   * What decides the order of one key. `insert`: the order of the inserts, which is the order of commits when the business
   * row of the key is locked first (the usual case). `commit`: the outbox itself locks the key until the transaction ends,
   * for writers that lock nothing; one more round trip, and writers of one key wait for each other.
   *
   * @defaultValue "insert": most writers update the aggregate's row before they add
   */
  readonly ordering?: 'insert' | 'commit'
  /**
   * Largest body that `add` takes, in bytes; at most 64 MiB, which the table itself refuses to exceed. Each relay holds whole
   * bodies in memory, so a larger one could end every relay that reads it.
   *
   * @defaultValue 16 MiB: RabbitMQ's default limit, and more than SQS and Kafka take
   */
  readonly maxPayloadBytes?: number
  /**
   * W3C trace headers (`traceparent`, `tracestate`) to store with each message, for example `currentTraceContext` of
   * `@malote/outbox-core/otel`. Called once for each `add` or `addAll`, before anything is awaited. Default: none.
   */
  readonly traceContext?: () => Readonly<Record<string, string>>
}

/** SQL text with PostgreSQL's placeholders, and their values: all text, or null. */
export interface AddStatement {
  /** `select malote.add_message($1, …)`: one row of one column that means nothing. With `prepared` it may be an insert, which gives no row. */
  readonly text: string
  readonly values: readonly (string | null)[]
  /** Of the messages, in the order given. */
  readonly ids: readonly MessageId[]
}

/** Adds messages to the caller's transaction. Nothing is published before its commit, nothing at all after its rollback. */
export interface Outbox<C extends Catalog = Catalog> {
  /**
   * Adds one message.
   *
   * @param tx - a Kysely `Transaction`, a pg client after BEGIN, or a `Queryable` of such a transaction
   * @returns the message's id
   * @throws OutboxError `NOT_A_TRANSACTION`, `INVALID_MESSAGE`, `UNKNOWN_MESSAGE_TYPE`, `PAYLOAD_INVALID`,
   *   `UNSERIALIZABLE_PAYLOAD`, `PAYLOAD_TOO_LARGE`, `SCHEMA_MISSING`. Database errors come through as they are; the transaction is the caller's to end.
   */
  add(tx: OutboxTransaction, message: MessageOf<C>): Promise<MessageId>

  /**
   * Adds any number of messages in one statement, in the order given. All or none.
   *
   * @throws OutboxError as `add`, and `DUPLICATE_MESSAGE_ID` when two of them share an id (ids of different calls are not compared)
   */
  addAll(tx: OutboxTransaction, messages: readonly MessageOf<C>[]): Promise<readonly MessageId[]>

  /**
   * The statement that adds messages, to be put into a statement of yours that writes the business rows: one round trip, one
   * commit. `with accepted as (insert into orders …) ` + `text`; append ` from accepted` to add only when a row was inserted,
   * or when the part updates a row whose order the messages must have: else PostgreSQL adds them before it locks that row.
   *
   * Nothing is sent to the database, so nothing can check where the text ends up: **run alone it commits the messages alone**. It
   * must be in the statement, or in the open transaction, of the business rows.
   *
   * @param options.firstParameter - number of the first placeholder: one more than the parameters your own part has. @defaultValue 1
   * @param options.prepared - whether your client prepares the statement by name (`name` with pg; postgres.js always does). For one message with a
   *   text body the text is an insert then, without a function: a quarter less of the message's cost for the server, and nearly twice of it when the statement is
   *   not prepared. @defaultValue false: few clients prepare unasked
   * @throws OutboxError as `addAll`, as far as no database is needed, `INVALID_MESSAGE` for a scheduled message (use `add`),
   *   `INVALID_OPTION` with `ordering: 'commit'`, whose lock must be taken in a statement before
   */
  statement(
    messages: MessageOf<C> | readonly MessageOf<C>[],
    options?: { readonly firstParameter?: number; readonly prepared?: boolean },
  ): Promise<AddStatement>

  /** Removes a message added with `availableAt` or `delayMs` that is not due yet. @returns whether there was one */
  cancelScheduled(tx: OutboxTransaction, id: MessageId): Promise<boolean>

  /** Removes any number of such messages in one statement. @returns the ids of those that were there, in no particular order */
  cancelAllScheduled(tx: OutboxTransaction, ids: readonly MessageId[]): Promise<readonly MessageId[]>
}

/**
 * Creates the writing side of an outbox. Holds no connection and no state: one per process is plenty.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createOutbox<const C extends Catalog = Catalog>(options: OutboxOptions<C> = {}): Outbox<C> {
  const schema = schemaOption(options.schema)
  const statements = writerStatements(schema)
  const range = { min: 1, max: maxStoredBytes }
  const maxPayloadBytes = numberOption('maxPayloadBytes', options.maxPayloadBytes, defaultMaxPayloadBytes, range)

  async function encode(messages: readonly GivenMessage[]): Promise<MessageRow[]> {
    const trace = options.traceContext?.() ?? {}
    const catalog = options.catalog
    const rows: MessageRow[] = []
    for (const message of messages) {
      const complete = catalog === undefined ? (message as NewMessage) : await completeMessage(catalog, message)
      rows.push(encodeMessage(complete, trace, maxPayloadBytes))
    }
    refuseDuplicateIds(rows)
    return rows
  }

  function insert(db: Queryable, rows: readonly MessageRow[]): Promise<unknown> {
    const { text, values } = addStatement(rows, 1, statements.addMessage)
    return db.query(text, values)
  }

  function addStatement(
    rows: readonly MessageRow[],
    firstParameter: number,
    one: WriterStatements['addMessage'],
  ): { readonly text: string; readonly values: (string | null)[] } {
    const [row] = rows
    // The usual case by far, and a third cheaper than as an array of one.
    return row !== undefined && rows.length === 1 && row.payload !== undefined
      ? { text: one(firstParameter), values: parametersOf(row, row.payload) }
      : { text: statements.addMessages(firstParameter), values: [JSON.stringify(rows)] }
  }

  async function statement(
    messages: GivenMessage | readonly GivenMessage[],
    given: { readonly firstParameter?: number; readonly prepared?: boolean } = {},
  ): Promise<AddStatement> {
    const firstParameter = numberOption('firstParameter', given.firstParameter, 1, { min: 1, max: 65_000 })
    if (options.ordering === 'commit')
      throw new OutboxError(
        'INVALID_OPTION',
        "an outbox with ordering 'commit' has no single statement, because keys are locked in a statement before: use add(tx, …)",
      )
    const rows = await encode(isList(messages) ? messages : [messages])
    const scheduled = rows.find(isScheduled)
    if (scheduled !== undefined)
      throw new OutboxError(
        'INVALID_MESSAGE',
        `message ${scheduled.id} is scheduled and goes into another table: use add(tx, …) for it`,
      )
    const one = given.prepared === true ? statements.insertMessage : statements.addMessage
    return { ...addStatement(rows, firstParameter, one), ids: rows.map((row) => row.id) }
  }

  async function addAll(tx: OutboxTransaction, messages: readonly GivenMessage[]): Promise<readonly MessageId[]> {
    const rows = await encode(messages)
    const db = await transactionQueryable(tx, statements.messagesTable)
    const ready = rows.filter((row) => !isScheduled(row))
    const scheduled = rows.filter(isScheduled)
    try {
      if (options.ordering === 'commit' && ready.length > 0) await lockOrders(db, statements.lockKeys, ready)
      if (ready.length > 0) await insert(db, ready)
      if (scheduled.length > 0) await db.query(statements.addScheduledMessages, [JSON.stringify(scheduled)])
    } catch (error) {
      throw explain(error, schema)
    }
    return rows.map((row) => row.id)
  }

  async function cancelAllScheduled(tx: OutboxTransaction, ids: readonly MessageId[]): Promise<readonly MessageId[]> {
    const db = await transactionQueryable(tx, statements.messagesTable)
    if (ids.length === 0) return []
    // As text: an array is written in as many ways as there are clients.
    const { rows } = await db.query(statements.cancelScheduledMessages, [`{${ids.join(',')}}`])
    return rows.map((row) => String(row['id']))
  }

  return {
    addAll,
    statement,
    add: async (tx, message) => {
      const [id] = await addAll(tx, [message])
      return id as MessageId
    },
    cancelAllScheduled,
    cancelScheduled: async (tx, id) => (await cancelAllScheduled(tx, [id])).length > 0,
  }
}

/** `Array.isArray` does not know readonly arrays. */
const isList = <Element>(given: Element | readonly Element[]): given is readonly Element[] => Array.isArray(given)

/** @throws OutboxError `DUPLICATE_MESSAGE_ID` */
function refuseDuplicateIds(rows: readonly MessageRow[]): void {
  const seen = new Set<MessageId>()
  for (const { id } of rows) {
    if (seen.has(id))
      throw new OutboxError(
        'DUPLICATE_MESSAGE_ID',
        `message id ${id} is given twice in one call: leave ids out, or make each unique`,
      )
    seen.add(id)
  }
}

async function lockOrders(db: Queryable, statement: string, rows: readonly MessageRow[]): Promise<void> {
  const orders = rows.map((row) => streamOf({ topic: row.topic, orderingKey: row.ordering_key ?? null }))
  const distinct = [...new Set(orders.filter((order) => order !== null))].sort()
  if (distinct.length > 0) await db.query(statement, [JSON.stringify(distinct)])
}

/** The values of `addMessage`, in the order of its parameters. */
function parametersOf(row: MessageRow, payload: string): (string | null)[] {
  const headers = row.headers === undefined ? null : JSON.stringify(row.headers)
  return [row.id, row.topic, row.type, row.ordering_key ?? null, payload, row.content_type, headers]
}

/** No such table, schema or function. */
const missingSchemaStates: ReadonlySet<string> = new Set(['42P01', '3F000', '42883'])

function explain(error: unknown, schema: string): unknown {
  const state = sqlStateOf(error)
  if (state === undefined || !missingSchemaStates.has(state)) return error
  return new OutboxError(
    'SCHEMA_MISSING',
    `the outbox tables are not in schema "${schema}": run migrate(db) or \`malote migrate\` first`,
    { cause: error },
  )
}
