import type { Queryable } from '@malote/outbox-core/postgres'

/** What a parameter of one of our own statements may be. */
export type Parameter = string | number | boolean | Date | Uint8Array | null | readonly (string | Uint8Array | null)[]

/** A statement with its parameters. The text names each type (`$1::bytea`), so that it means the same in both protocols. */
export interface Statement {
  readonly text: string
  readonly values: readonly Parameter[]
  /**
   * The same as a CALL with the same parameters, whose types the procedure names: for one statement whose parameters are written into the text.
   * A CALL is run as it is read, and a SELECT is planned first; many are one SELECT all the same, for each CALL has an answer of its own.
   */
  readonly call?: string
}

/** The statements as one, run in the order given, with parameters. */
export function unionAll(statements: readonly Statement[]): Statement {
  let count = 0
  const texts = statements.map(({ text, values }) => {
    const before = count
    count += values.length
    return text.replace(placeholders, (_, position: string) => `$${String(before + Number(position))}`)
  })
  return { text: texts.join(unionWord), values: statements.flatMap(({ values }) => values) }
}

/**
 * The statements as one text, with their parameters written into it: only so can it share a round trip with BEGIN or COMMIT.
 * Every byte, and every text that is not of plain characters alone, goes as hexadecimal digits, so no value can end its
 * literal, whatever it holds and however the server is set.
 */
export function inline(statements: readonly Statement[]): string {
  const [only] = statements
  if (statements.length === 1 && only?.call !== undefined) return filled(only.call, only.values)
  return statements.map(({ text, values }) => filled(text, values)).join(unionWord)
}

function filled(text: string, values: readonly Parameter[]): string {
  const pieces = piecesOf(text)
  let whole = pieces[0] as string
  for (let at = 1; at < pieces.length; at += 2)
    whole += literal(values[Number(pieces[at]) - 1] ?? null) + (pieces[at + 1] as string)
  return whole
}

const unionWord = ' union all '
const placeholders = /\$(\d+)/g

/** The texts between parameters, and the positions of these, in turn. There are few statements, and they never change. */
const piecesOf = remembered((text) => text.split(placeholders))

function remembered<Result>(work: (text: string) => Result): (text: string) => Result {
  const known = new Map<string, Result>()
  return (text) => {
    const found = known.get(text) ?? work(text)
    known.set(text, found)
    return found
  }
}

/** No quote, no backslash, and nothing that an encoding could turn into one. */
const plain = /^[\w .,:;=+/{}"()[\]-]*$/

function literal(value: Parameter): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return `(${String(value)})`
  if (typeof value === 'string')
    return plain.test(value) ? `'${value}'` : `convert_from(${bytes(Buffer.from(value))}::bytea, 'utf8')`
  if (value instanceof Date) return literal(value.toISOString())
  if (value instanceof Uint8Array) return bytes(value)
  return `array[${value.map(literal).join(', ')}]`
}

/** Reads the same whatever standard_conforming_strings says. */
function bytes(value: Uint8Array): string {
  const buffer = Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  return `E'\\\\x${buffer.toString('hex')}'`
}

/** Fails when the transaction has failed, or is not there any more. */
export async function touch(transaction: Queryable): Promise<void> {
  await transaction.query('select 1', [])
}
