import { fileURLToPath } from 'node:url'
import { harnessFailure } from '../harness-error.ts'

export interface Bounds {
  readonly testTimeout: number
  readonly hookTimeout: number
  readonly env: Record<string, string>
  readonly setupFiles: string[]
  readonly expect: { poll: { timeout: number } }
  readonly retry: { count: number; condition: RegExp }
}

/**
 * How long a case and a hook may take on a quiet machine, in milliseconds. `testing/setup.ts` stretches both by how slow the machine is
 * when the file begins. A case is run once more when its harness failed, and for nothing else.
 */
export function bounded(testTimeout: number, hookTimeout = 120_000): Bounds {
  return {
    testTimeout,
    hookTimeout,
    env: { MALOTE_TEST_TIMEOUT: String(testTimeout), MALOTE_HOOK_TIMEOUT: String(hookTimeout) },
    setupFiles: [fileURLToPath(new URL('../setup.ts', import.meta.url))],
    expect: { poll: { timeout: 30_000 } }, // Its own second is less than a busy machine may take to turn round.
    retry: { count: 1, condition: harnessFailure },
  }
}
