/** Every code an `IdempotencyError` can carry. Switch on the code, not on the class. */
export type IdempotencyErrorCode =
  | 'INVALID_OPTION'
  | 'NOT_A_TRANSACTION'
  | 'SCHEMA_MISSING'
  | 'IN_FLIGHT'
  | 'STALE_MESSAGE'
  | 'INVALID_MESSAGE'
  | 'PREDECESSOR_FAILED'
  | 'VERSION_GAP'
  | 'STALE_GENERATION'
  | 'INVALID_RESPONSE'
  | 'COMMIT_UNKNOWN'
  | 'LEASE_LOST'
  | 'TIMED_OUT'
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

/** The error of a handler that has not settled in time. */
export function timedOut(timeoutMs: number): IdempotencyError {
  return new IdempotencyError(
    'TIMED_OUT',
    `the handler has not settled within ${String(timeoutMs)} ms: nothing of it is kept; make it faster or raise "timeoutMs"`,
  )
}

/** What a handler is told that ended the transaction it was given. */
export function endedByHandler(cause?: unknown): IdempotencyError {
  return new IdempotencyError(
    'NOT_A_TRANSACTION',
    'the handler ended the transaction it was given: leave COMMIT and ROLLBACK to the caller of the handler',
    { cause },
  )
}

/** Whether it is that. */
export function isEndedByHandler(error: unknown): boolean {
  return error instanceof IdempotencyError && error.code === 'NOT_A_TRANSACTION'
}

/** Whether a handler has not settled in time. */
export function isTimeout(error: unknown): boolean {
  return error instanceof IdempotencyError && error.code === 'TIMED_OUT'
}

/** Whether nobody has said if it was committed. */
export function isCommitUnknown(error: unknown): boolean {
  return error instanceof IdempotencyError && error.code === 'COMMIT_UNKNOWN'
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
