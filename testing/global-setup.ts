import type { TestProject } from 'vitest/node'
import { type PostgresService, startPostgres } from './services/postgres.ts'

/** vitest runs this once for each project; the projects share one server. */
const shared = globalThis as { malotePostgres?: { users: number; service: Promise<PostgresService> } }

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  shared.malotePostgres ??= {
    users: 0,
    service: startPostgres({ durable: false, settings: { max_prepared_transactions: 10 } }),
  }
  const used = shared.malotePostgres
  used.users++
  const service = await used.service
  project.provide('postgresUrl', service.url)
  return async () => {
    if (--used.users > 0) return
    delete shared.malotePostgres
    await service.stop('fast')
  }
}

declare module 'vitest' {
  export interface ProvidedContext {
    /** The server all integration tests share. Use `createTestDatabase` rather than this. */
    postgresUrl: string
  }
}
