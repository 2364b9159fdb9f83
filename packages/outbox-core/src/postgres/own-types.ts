/** How pg is told to read the columns of one statement. */
export interface OwnTypes {
  getTypeParser(oid: number, format?: string): (value: string) => unknown
}

/** Types of PostgreSQL, by the oid that it has given them for ever. */
const parsers: Readonly<Record<number, (value: string) => unknown>> = {
  16: (bool) => bool === 't',
  17: (bytea) => Buffer.from(bytea.slice(2), 'hex'), // The session says `bytea_output = hex`.
  21: Number,
  23: Number,
  701: Number,
  1009: textArray,
}

const asText = (value: string): string => value

/**
 * The relay's own reading of columns. An application may have told pg, for the whole process, to give it bigints as BigInt
 * or booleans as words; what the relay reads must not change with it.
 */
export const ownTypes: OwnTypes = { getTypeParser: (oid) => parsers[oid] ?? asText }

/** Elements of a `text[]` without nulls, as PostgreSQL writes it: quoted where they hold anything special. */
function textArray(literal: string): string[] {
  const elements: string[] = []
  for (const [whole, quoted] of literal.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|[^,]+/g)) {
    elements.push(quoted === undefined ? whole : quoted.replaceAll(/\\(.)/g, '$1'))
  }
  return elements
}
