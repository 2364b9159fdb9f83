/** What a parameter of one of our own statements may be. */
export type Parameter = string | number | boolean | Date | Uint8Array | null | readonly (string | Uint8Array)[]

/** A statement with its parameters. The text names each type (`$1::bytea`), so that it means the same in both protocols. */
export interface Statement {
  readonly text: string
  readonly values: readonly Parameter[]
}

/** The statements as one, run in the order given. One statement stays as it is. */
export function unionAll(statements: readonly Statement[]): Statement {
  let count = 0
  const texts = statements.map(({ text, values }) => {
    const before = count
    count += values.length
    return text.replace(/\$(\d+)/g, (_, position: string) => `$${String(before + Number(position))}`)
  })
  return { text: texts.join('\nunion all\n'), values: statements.flatMap(({ values }) => values) }
}

/**
 * The statement with its parameters written into it: only so can it share a round trip with BEGIN or COMMIT. Every text and
 * every byte goes as hexadecimal digits, so no value can end its literal, whatever it holds and however the server is set.
 */
export function inline({ text, values }: Statement): string {
  return text.replace(/\$(\d+)/g, (_, position: string) => literal(values[Number(position) - 1] ?? null))
}

function literal(value: Parameter): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return `(${String(value)})`
  if (typeof value === 'string') return `convert_from(${bytes(Buffer.from(value))}, 'utf8')`
  if (value instanceof Date) return literal(value.toISOString())
  if (value instanceof Uint8Array) return bytes(value)
  return `array[${value.map(literal).join(', ')}]`
}

function bytes(value: Uint8Array): string {
  const buffer = Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  return `decode('${buffer.toString('hex')}', 'hex')`
}
