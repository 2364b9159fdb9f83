import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const runner = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))

/** Runs the sample with the settings that every test here has. */
async function runSample(): Promise<string> {
  const config = fileURLToPath(new URL('sample.config.ts', import.meta.url))
  const args = [runner, 'run', '--config', config, '--root', root]
  const env = { ...process.env, NO_COLOR: '1', CI: '' }
  return promisify(execFile)(process.execPath, args, { env }).then(
    ({ stdout }) => stdout,
    (failed: { stdout: string }) => failed.stdout,
  )
}

it('a case is run once more when its harness failed, and never when a violation was found', async () => {
  const output = await runSample()
  const timesRun = (name: string): number => output.split('\n').filter((line) => line.trim() === `ran ${name}`).length

  expect(['harness-once', 'harness-always', 'violation', 'violation-and-clean-up'].map(timesRun)).toEqual([2, 2, 1, 1])
  expect(output).toContain('sample.ts > harness fails once: test harness: no leader')
  expect(output.trimEnd().split('\n').at(-1)).toBe('1 passed, 3 failed, 0 skipped')
})
