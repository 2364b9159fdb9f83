import { defineConfig } from 'tsup'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    fastify: 'src/frameworks/fastify.ts',
    express: 'src/frameworks/express.ts',
    hono: 'src/frameworks/hono.ts',
    nest: 'src/frameworks/nest.ts',
    client: 'src/client.ts',
    redis: 'src/http/lease/stores/redis.ts',
    dynamodb: 'src/http/lease/stores/dynamodb.ts',
    otel: 'src/otel.ts',
    'testing/index': 'src/testing/index.ts',
  },
  format: ['esm'],
  target: 'node22',
  dts: true,
  sourcemap: true,
  clean: true,
})
