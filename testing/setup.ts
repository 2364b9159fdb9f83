// Loaded by vitest before each test file: stretches its bounds on time by how slow the machine is now.
import { beforeEach, vi } from 'vitest'
import { harnessFailure } from './harness-error.ts'
import { propertyRuns, propertyScale, propertySeed } from './property-scale.ts'
import { measureSlowness, scaledTimeout } from './slowness.ts'
import { shake } from './test-runner/shake.ts'

// What `eventually` multiplies its patience by, also in processes that a test starts.
process.env['MALOTE_PATIENCE'] = String(measureSlowness())
vi.setConfig({
  testTimeout: scaledTimeout(Number(process.env['MALOTE_TEST_TIMEOUT']) * propertyScale),
  hookTimeout: scaledTimeout(Number(process.env['MALOTE_HOOK_TIMEOUT'])),
})

if (propertySeed !== null) {
  const { default: fc } = await import('fast-check') // Only a soak pays for it in every file.
  fc.configureGlobal({ seed: propertySeed, numRuns: propertyRuns(100) })
}

shake(process.env['MALOTE_SHAKE'])

const never = { count: 0, condition: /(?!)/ }

// The runner looks at the last error alone. A case that failed of itself is not run again because its clean-up failed as well.
beforeEach(({ task, onTestFailed }) => {
  onTestFailed(() => {
    const errors = task.result?.errors ?? []
    if (errors.some(({ message }) => !harnessFailure.test(message))) Object.assign(task, { retry: never })
  })
})
