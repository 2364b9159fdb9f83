import { invalidOption } from '../options.ts'

/** The schema Malote lives in unless told otherwise. */
export const defaultSchema = 'malote'

/** Quotes a name for use in SQL text, whatever is in it. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Quotes a text for use in SQL that has no parameters. */
export function quoteLiteral(text: string): string {
  return text.includes('\\')
    ? `e'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
    : `'${text.replaceAll("'", "''")}'`
}

/**
 * Checks a schema name and returns it unquoted. PostgreSQL would silently cut a name over 63 bytes.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function schemaOption(schema: string | undefined): string {
  const name = schema ?? defaultSchema
  const bytes = Buffer.byteLength(name)
  if (bytes === 0 || bytes > 63 || name.includes('\0'))
    throw invalidOption('schema', name, 'a name of 1 to 63 bytes without NUL')
  return name
}
