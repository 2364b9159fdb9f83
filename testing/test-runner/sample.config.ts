import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { bounded } from './bounded.ts'

const reporter = fileURLToPath(new URL('../../scripts/run-reporter.ts', import.meta.url))

const config: ViteUserConfig = defineConfig({
  test: {
    name: 'unit',
    include: ['testing/test-runner/sample.ts'],
    reporters: ['default', reporter],
    ...bounded(30_000),
  },
})

export default config
