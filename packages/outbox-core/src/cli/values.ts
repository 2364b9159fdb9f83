import { type Command, InvalidArgumentError } from 'commander'

/** Reads what follows an option. @throws InvalidArgumentError, which commander shows with the option's name */
type Parse<Value> = (text: string) => Value

/** In digits: a number that was written otherwise was meant otherwise. */
function between(kind: 'a whole number' | 'a number', least: number, most: number): Parse<number> {
  const form = kind === 'a number' ? /^\d+(\.\d+)?$/ : /^\d+$/
  return (text) => {
    const value = Number(text)
    if (form.test(text) && value >= least && value <= most) return value
    throw new InvalidArgumentError(`It must be ${kind} from ${String(least)} to ${String(most)}.`)
  }
}

/** Rows of a list. */
export const count: Parse<number> = between('a whole number', 1, 10_000)
/** Messages, as many as there may be. */
export const anyCount: Parse<number> = between('a whole number', 1, Number.MAX_SAFE_INTEGER)
/** 0 takes any that is free. */
export const port: Parse<number> = between('a whole number', 0, 65_535)
/** As far as a timer counts. */
export const timeout: Parse<number> = between('a number', 0, 2_147_483)
/** A hundred years. */
export const days: Parse<number> = between('a number', 0, 36_500)

const iso = /^((?!0000)\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/

/** A day or an instant. `Date` alone would take 17 for a year, and the 30th of February for the 2nd of March. */
export function instant(text: string): Date {
  const day = iso.exec(text)?.[1]
  const date = new Date(text.replace(' ', 'T'))
  const isThere = day !== undefined && !Number.isNaN(Date.parse(day)) && new Date(day).toISOString().startsWith(day)
  if (isThere && !Number.isNaN(date.getTime())) return date
  throw new InvalidArgumentError('It must be a time such as 2026-11-28T03:00:00Z.')
}

export function schemaName(text: string): string {
  if (Buffer.byteLength(text) <= 63 && text !== '') return text
  throw new InvalidArgumentError('It must be a name of 1 to 63 bytes.')
}

/** Nobody means nothing: a variable of the shell was not set. */
function something(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('It must not be empty.')
  return text
}

/** Every value that has no rule of its own must at least be there. */
export function refuseEmptyValues(command: Command): void {
  for (const option of command.options)
    if (option.parseArg === undefined && (option.required || option.optional))
      option.argParser<unknown>((text, before) =>
        option.variadic ? [...((before as readonly string[] | undefined) ?? []), something(text)] : something(text),
      )
  for (const argument of command.registeredArguments)
    if (argument.parseArg === undefined) argument.argParser<unknown>((text) => something(text))
  for (const below of command.commands) refuseEmptyValues(below)
}
