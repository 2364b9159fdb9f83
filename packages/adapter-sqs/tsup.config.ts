import { defineConfig } from 'tsup'

export default defineConfig({
  entry: { index: 'src/index.ts', sns: 'src/sns.ts' },
  format: ['esm'],
  target: 'node22',
  dts: true,
  sourcemap: true,
  clean: true,
})
