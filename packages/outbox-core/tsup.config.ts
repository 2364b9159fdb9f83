import { defineConfig } from 'tsup'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'adapter/index': 'src/adapter/index.ts',
    'clients/drizzle': 'src/clients/drizzle.ts',
    'clients/knex': 'src/clients/knex.ts',
    'clients/kysely': 'src/clients/kysely.ts',
    'clients/mikro-orm': 'src/clients/mikro-orm.ts',
    'clients/pg': 'src/clients/pg.ts',
    'clients/postgres-js': 'src/clients/postgres-js.ts',
    'clients/prisma': 'src/clients/prisma.ts',
    'clients/typeorm': 'src/clients/typeorm.ts',
    'cli/main': 'src/cli/main.ts',
    'console/index': 'src/console/index.ts',
    'frameworks/nest': 'src/frameworks/nest.ts',
    'otel/index': 'src/otel/index.ts',
    'postgres/index': 'src/postgres/index.ts',
    'testing/index': 'src/testing/index.ts',
  },
  format: ['esm'],
  target: 'node22',
  dts: true,
  // A tool of the command line only, so that the package has no dependency at run time.
  noExternal: ['commander'],
  sourcemap: true,
  clean: true,
})
