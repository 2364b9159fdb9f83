import { defineConfig } from 'tsup'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    fastify: 'src/fastify.ts',
    express: 'src/express.ts',
    hono: 'src/hono.ts',
    client: 'src/client.ts',
    redis: 'src/redis.ts',
    dynamodb: 'src/dynamodb.ts',
    otel: 'src/otel.ts',
    'testing/index': 'src/testing/index.ts',
  },
  format: ['esm'],
  target: 'node22',
  dts: true,
  sourcemap: true,
  clean: true,
})
