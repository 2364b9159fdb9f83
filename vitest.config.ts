import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { bounded } from './testing/test-runner/bounded.ts'

const conditions = ['@malote/source']
/** Where another Nest than ours is installed: see scripts/test-nest.mjs. */
const nest = process.env['MALOTE_TEST_NEST']
const ofNest = { find: /^(@nestjs\/[\w-]+|rxjs|reflect-metadata)$/, replacement: `${nest ?? ''}$1` }
const resolve = { conditions, alias: nest === undefined ? [] : [ofNest] }
const ssr = { resolve: { conditions } }
const exclude = ['**/node_modules/**', '**/dist/**', '.tools/**']

/** The tier of a test is its file name: see "Tests" in CONTRIBUTING.md. */
const config: ViteUserConfig = defineConfig({
  test: {
    reporters: ['default', './scripts/conformance-reporter.ts', './scripts/run-reporter.ts'],
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: [...exclude, '**/*.{pg,broker,chaos,e2e}.test.ts'],
          ...bounded(30_000), // Models and properties compute for seconds; a busy machine makes that many.
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'integration',
          include: ['**/*.{pg,broker}.test.ts'],
          exclude,
          globalSetup: ['testing/global-setup.ts'],
          ...bounded(60_000),
          maxWorkers: 4, // They wait for servers more than they compute.
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'chaos',
          include: ['**/*.chaos.test.ts'],
          exclude,
          globalSetup: ['testing/global-setup.ts'],
          ...bounded(900_000), // A run that decided nothing is repeated with more time, up to three times.
          maxWorkers: 2, // A run keeps about one core busy, and each has its servers, ports and folders to itself.
          sequence: { groupOrder: 1 },
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'e2e',
          include: ['**/*.e2e.test.ts'],
          exclude,
          ...bounded(300_000),
          maxWorkers: 2, // With chaos in one group, so that neither worker is idle while the other ends.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})

export default config
