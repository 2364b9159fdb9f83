import { OutboxError } from './errors.ts'

/** What a timer can count, in milliseconds: a longer one would fire at once. */
const longestMs = 2 ** 31 - 1

/** Checks one numeric option; a name that ends in `Ms` is a time. @throws OutboxError `INVALID_OPTION` naming the option, the value and the range. */
export function numberOption(
  name: string,
  value: number | undefined,
  fallback: number,
  range: { readonly min?: number; readonly max?: number; readonly integer?: boolean } = {},
): number {
  if (value === undefined) return fallback
  const { min = Number.NEGATIVE_INFINITY, max = name.endsWith('Ms') ? longestMs : Number.POSITIVE_INFINITY } = range
  const { integer = true } = range
  if (
    typeof value !== 'number' ||
    Number.isNaN(value) ||
    value < min ||
    value > max ||
    (integer && !Number.isInteger(value))
  ) {
    const kind = integer ? 'a whole number' : 'a number'
    throw invalidOption(name, value, `${kind} from ${String(min)} to ${String(max)}`)
  }
  return value
}

/** Makes the error for a wrong option: its name, what was given, and what it must be. @param allowed - goes on after "it must be" */
export function invalidOption(name: string, value: unknown, allowed: string): OutboxError {
  const shown = typeof value === 'string' ? `"${value}"` : String(value)
  return new OutboxError('INVALID_OPTION', `option "${name}" is ${shown}: it must be ${allowed}`)
}
