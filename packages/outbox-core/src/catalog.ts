import { OutboxError } from './errors.ts'
import type { NewMessage } from './message.ts'
import type { InputOf, StandardIssue, StandardSchemaV1 } from './standard-schema.ts'

/** From message type to the schema of its payload, in any Standard Schema library. */
export type Catalog = Readonly<Record<string, StandardSchemaV1>>

/** The messages a catalog allows: its types, each with its own payload. Without a catalog: any. */
export type MessageOf<C extends Catalog> = string extends keyof C
  ? NewMessage
  : { [Type in keyof C & string]: NewMessage<Type, InputOf<C[Type]>> }[keyof C & string]

/**
 * Validates the payload of one message and gives what the schema made of it (defaults filled in, values transformed).
 *
 * @throws OutboxError `UNKNOWN_MESSAGE_TYPE` when the catalog lacks the type, `PAYLOAD_INVALID` with the paths that are wrong
 */
export async function validatePayload(catalog: Catalog, message: NewMessage): Promise<unknown> {
  const schema = Object.hasOwn(catalog, message.type) ? catalog[message.type] : undefined
  if (schema === undefined) {
    const known = Object.keys(catalog)
      .map((type) => `"${type}"`)
      .join(', ')
    throw new OutboxError(
      'UNKNOWN_MESSAGE_TYPE',
      `message type "${message.type}" is not in the catalog, which has ${known || 'no types'}: add its schema`,
    )
  }
  const result = await schema['~standard'].validate(message.payload)
  if (result.issues !== undefined) {
    throw new OutboxError(
      'PAYLOAD_INVALID',
      `the payload of a "${message.type}" message does not fit its schema: ${result.issues.slice(0, 5).map(describeIssue).join('; ')}`,
    )
  }
  return result.value
}

/** Path and rule, never the value: schema libraries are trusted not to quote it. */
function describeIssue(issue: StandardIssue): string {
  const path = (issue.path ?? [])
    .map((segment) => String(typeof segment === 'object' ? segment.key : segment))
    .join('.')
  return path === '' ? issue.message : `${path}: ${issue.message}`
}
