/** How the message of every `HarnessError` begins. The runner sees messages, not classes: they come from other processes. */
export const harnessPrefix = 'test harness: '

/** The runner repeats a case once when its error says this, and only then (see vitest.config.ts). */
export const harnessFailure: RegExp = new RegExp(`^${harnessPrefix}`)

/**
 * What a test needs did not come up: a server that does not start, a topic without a leader, a process that does not stop. It says
 * nothing about the code under test. A failed expectation, or what the history checker found, must never become one.
 */
export class HarnessError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(`${harnessPrefix}${message}`, options)
    this.name = 'HarnessError'
  }
}

/**
 * Does what prepares a test. Whatever goes wrong in it is the harness' failure.
 *
 * @param what - what was tried, for example `start Kafka`
 * @throws HarnessError with the cause
 */
export async function preparing<Made>(what: string, make: () => Promise<Made>): Promise<Made> {
  try {
    return await make()
  } catch (error) {
    if (error instanceof HarnessError) throw error
    throw new HarnessError(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}
