/** How an `Idempotency-Key` may look. */
export interface KeyFormat {
  /** `strict`: a quoted string, as the IETF draft says. `lenient`: also the bare value most clients send. */
  readonly syntax: 'strict' | 'lenient'
  readonly minLength: number
  readonly maxLength: number
}

export type ParsedKey =
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'malformed'; readonly reason: string }

/**
 * Reads the key from every value the header was sent with. `"k"` and `k` are the same key.
 *
 * The grammar is an RFC 9651 Item of type String without parameters, its content narrowed to visible ASCII.
 */
export function parseKey(values: readonly string[], format: KeyFormat): ParsedKey {
  if (values.length === 0) return { kind: 'missing' }
  if (values.length > 1) return malformed('it was sent more than once')
  const value = (values[0] as string).trim()
  const key = value.startsWith('"') ? unquote(value) : format.syntax === 'lenient' ? bare(value) : undefined
  if (key !== undefined) return checkKey(key, format)
  return malformed(
    format.syntax === 'strict' ? 'it is not one quoted string' : 'it is neither one token nor one quoted string',
  )
}

/** Checks a key that came without the grammar of a header. */
export function checkKey(key: string, format: Omit<KeyFormat, 'syntax'>): ParsedKey {
  if (!/^[\x21-\x7e]*$/.test(key)) return malformed('it contains other characters than visible ASCII')
  if (key.length < format.minLength || key.length > format.maxLength)
    return malformed(`it has not ${String(format.minLength)} to ${String(format.maxLength)} characters`)
  return { kind: 'key', key }
}

function malformed(reason: string): ParsedKey {
  return { kind: 'malformed', reason }
}

/** The content of a quoted string, or undefined when it is not exactly one. */
function unquote(value: string): string | undefined {
  const content = /^"((?:[^"\\]|\\["\\])*)"$/.exec(value)?.[1]
  return content?.replaceAll(/\\(["\\])/g, '$1')
}

/** A value without quotes. A comma would make it a list, a semicolon a parameter: both are refused rather than guessed at. */
function bare(value: string): string | undefined {
  return /[",;\\]/.test(value) ? undefined : value
}
