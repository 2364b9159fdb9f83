import { defineConfig } from 'tsup'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'clients/confluent': 'src/clients/confluent.ts',
    'clients/kafkajs': 'src/clients/kafkajs.ts',
    'clients/platformatic/index': 'src/clients/platformatic/index.ts',
  },
  format: ['esm'],
  target: 'node22',
  dts: true,
  sourcemap: true,
  clean: true,
})
