/** Every code an `IdempotencyError` can carry. Switch on the code, not on the class. */
export type IdempotencyErrorCode =
  | 'INVALID_OPTION'
  | 'NOT_A_TRANSACTION'
  | 'SCHEMA_MISSING'
  | 'IN_FLIGHT'
  | 'STALE_MESSAGE'
  | 'INVALID_MESSAGE'
  | 'VERSION_GAP'
  | 'STALE_GENERATION'
  | 'INVALID_RESPONSE'
  | 'COMMIT_UNKNOWN'
  | 'LEASE_LOST'
  | 'STORE_UNAVAILABLE'

/** Thrown for misuse, broken promises, and inbox outcomes that must not be acknowledged. HTTP refusals are responses instead. */
export class IdempotencyError extends Error {
  override readonly name: string = 'IdempotencyError'
  readonly code: IdempotencyErrorCode

  constructor(code: IdempotencyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Builds the error every option check throws. */
export function invalidOption(name: string, allowed: string): IdempotencyError {
  return new IdempotencyError('INVALID_OPTION', `option "${name}" must be ${allowed}`)
}

/** Checks one option that is a whole number. @throws IdempotencyError `INVALID_OPTION` */
export function wholeNumberOption(
  name: string,
  value: number | undefined,
  fallback: number,
  range: { readonly min: number; readonly max: number },
): number {
  const number = value ?? fallback
  if (!Number.isInteger(number) || number < range.min || number > range.max)
    throw invalidOption(name, `a whole number from ${String(range.min)} to ${String(range.max)}, not ${String(number)}`)
  return number
}
