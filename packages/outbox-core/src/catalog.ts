import { OutboxError } from './errors.ts'
import type { NewMessage } from './message.ts'
import type { InputOf, OutputOf, StandardIssue, StandardSchemaV1 } from './standard-schema.ts'

/** A message type: the schema of its payload, and the topic it always goes to. */
export interface MessageDefinition<Schema extends StandardSchemaV1 = StandardSchemaV1, Topic extends string = string> {
  readonly topic: Topic
  readonly schema: Schema
}

/**
 * From message type to the schema of its payload, in any Standard Schema library; with `{ topic, schema }` also to its topic. Producers give
 * it to `createOutbox`, consumers to `createHandlers` of `@malote/idempotency`.
 */
export type Catalog = Readonly<Record<string, StandardSchemaV1 | MessageDefinition>>

/** The catalog as it is, with its topics as literal types. */
export function defineCatalog<const C extends Catalog>(catalog: C): C {
  return catalog
}

type SchemaOf<Entry> = Entry extends StandardSchemaV1
  ? Entry
  : Entry extends MessageDefinition<infer Schema>
    ? Schema
    : never

/** What a producer gives as the payload of a type. */
export type PayloadInputOf<C extends Catalog, Type extends keyof C> = InputOf<SchemaOf<C[Type]>>

/** What a consumer gets as the payload of a type: what the schema makes of it. */
export type PayloadOf<C extends Catalog, Type extends keyof C> = OutputOf<SchemaOf<C[Type]>>

/** A message whose topic the catalog knows: it may be left out. */
type MessageToTopic<Type extends string, Payload, Topic extends string> = Omit<NewMessage<Type, Payload>, 'topic'> & {
  readonly topic?: Topic
}

type MessageOfType<C extends Catalog, Type extends keyof C & string> = C[Type] extends StandardSchemaV1
  ? NewMessage<Type, PayloadInputOf<C, Type>>
  : C[Type] extends MessageDefinition<StandardSchemaV1, infer Topic>
    ? MessageToTopic<Type, PayloadInputOf<C, Type>, Topic>
    : never

/** The messages a catalog allows: its types, each with its own payload and topic. Without a catalog: any. */
export type MessageOf<C extends Catalog> = string extends keyof C
  ? NewMessage
  : { [Type in keyof C & string]: MessageOfType<C, Type> }[keyof C & string]

/** A message of any catalog, before its topic is filled in. */
export type GivenMessage = Omit<NewMessage, 'topic'> & { readonly topic?: string }

/** The schema of a type, or undefined when the catalog lacks it. */
export function schemaIn(catalog: Catalog, type: string): StandardSchemaV1 | undefined {
  const entry = Object.hasOwn(catalog, type) ? catalog[type] : undefined
  return entry === undefined || '~standard' in entry ? entry : entry.schema
}

/**
 * Fills in the topic, validates the payload and gives what the schema made of it (defaults filled in, values transformed).
 *
 * @throws OutboxError `UNKNOWN_MESSAGE_TYPE` when the catalog lacks the type, `INVALID_MESSAGE` when it has another topic,
 *   `PAYLOAD_INVALID` with the paths that are wrong
 */
export async function completeMessage(catalog: Catalog, message: GivenMessage): Promise<NewMessage> {
  const { type } = message
  const schema = schemaIn(catalog, type)
  if (schema === undefined) {
    const known = Object.keys(catalog)
      .map((type) => `"${type}"`)
      .join(', ')
    throw new OutboxError(
      'UNKNOWN_MESSAGE_TYPE',
      `message type "${type}" is not in the catalog, which has ${known || 'no types'}: add its schema`,
    )
  }
  const entry = catalog[type] as StandardSchemaV1 | MessageDefinition
  const known = '~standard' in entry ? undefined : entry.topic
  if (known !== undefined && message.topic !== undefined && message.topic !== known)
    throw new OutboxError(
      'INVALID_MESSAGE',
      `message type "${type}" goes to topic "${known}" by the catalog, not to "${message.topic}": leave topic out`,
    )
  // A topic that nobody named is refused where the message is encoded, like any other field.
  return {
    ...message,
    topic: known ?? (message.topic as string),
    payload: await validatePayload(schema, type, message.payload),
  }
}

/** @throws OutboxError `PAYLOAD_INVALID` with the paths that are wrong, never the values */
export async function validatePayload(schema: StandardSchemaV1, type: string, payload: unknown): Promise<unknown> {
  const result = await schema['~standard'].validate(payload)
  if (result.issues === undefined) return result.value
  throw new OutboxError(
    'PAYLOAD_INVALID',
    `the payload of a "${type}" message does not fit its schema: ${result.issues.slice(0, 5).map(describeIssue).join('; ')}`,
  )
}

/** Path and rule, never the value: schema libraries are trusted not to quote it. */
function describeIssue(issue: StandardIssue): string {
  const path = (issue.path ?? [])
    .map((segment) => String(typeof segment === 'object' ? segment.key : segment))
    .join('.')
  return path === '' ? issue.message : `${path}: ${issue.message}`
}
