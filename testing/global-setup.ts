import { readFileSync } from 'node:fs'
import type { TestProject } from 'vitest/node'
import { absentServices } from './absent-services.ts'
import { startDynamodb } from './services/dynamodb.ts'
import { startKafka } from './services/kafka.ts'
import { startPostgres } from './services/postgres.ts'
import { startRabbitmq } from './services/rabbitmq.ts'
import { startRedis } from './services/redis.ts'

interface Shared {
  readonly url: string
  end(): Promise<void>
}

/** One line a service: the name tests inject its URL by, and how it starts. Add a service here and in `ProvidedContext`. */
const services = {
  postgresUrl: async (): Promise<Shared> => {
    const given = process.env['MALOTE_TEST_POSTGRES_URL']
    if (given !== undefined && given !== '') return { url: given, end: () => Promise.resolve() }
    const image = process.env['MALOTE_TEST_POSTGRES_IMAGE']
    if (image !== undefined && image !== '') {
      const { startPostgresContainer } = await import('./services/postgres-container.ts')
      return startPostgresContainer(image)
    }
    const service = await startPostgres({ durable: false, settings: { max_prepared_transactions: 10 } })
    return { url: service.url, end: () => service.stop('fast') }
  },
  kafkaBrokers: async (): Promise<Shared> => {
    const service = await startKafka()
    return { url: service.brokers.join(','), end: () => service.dispose() }
  },
  rabbitmqUrl: async (): Promise<Shared> => {
    const service = await startRabbitmq()
    return { url: service.url, end: () => service.dispose() }
  },
  redisUrl: async (): Promise<Shared> => {
    const service = await startRedis()
    return { url: service.url, end: () => service.close() }
  },
  dynamodbEndpoint: async (): Promise<Shared> => {
    const service = await startDynamodb()
    return { url: service.endpoint, end: () => service.close() }
  },
}

type ServiceName = keyof typeof services

/** vitest runs this once for each project; the projects share their servers. */
const shared = globalThis as { maloteServices?: Map<ServiceName, { users: number; service: Promise<Shared> }> }

/** Starts the services that the selected test files inject, and no other. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const needed = await neededServices(project)
  const ends = await Promise.all(needed.map((name) => use(project, name)))
  return async () => {
    await Promise.all(ends.map((end) => end()))
  }
}

async function neededServices(project: TestProject): Promise<ServiceName[]> {
  // Not in vitest's public types: without it every service starts, which is slower and never wrong.
  const { filenamePattern } = project.vitest as { filenamePattern?: string[] }
  const { testFiles } = await project.globTestFiles(filenamePattern)
  const sources = testFiles.map((file) => readFileSync(file, 'utf8'))
  const names = Object.keys(services) as ServiceName[]
  return names.filter((name) => sources.some((source) => source.includes(`inject('${name}')`)))
}

async function use(project: TestProject, name: ServiceName): Promise<() => Promise<void>> {
  shared.maloteServices ??= new Map()
  const used = shared.maloteServices.get(name) ?? { users: 0, service: services[name]() }
  shared.maloteServices.set(name, used)
  used.users++
  const service = await used.service.catch((error: unknown) => absent(name, error))
  project.provide(name, service.url)
  return async () => {
    if (--used.users > 0) return
    shared.maloteServices?.delete(name)
    await service.end()
  }
}

/** Without its service a test file skips itself by name (`describe.skipIf(url === '')`); in CI that is no success. */
function absent(name: ServiceName, error: unknown): Shared {
  if (process.env['CI'] === 'true') throw error
  absentServices.set(name, error instanceof Error ? error.message : String(error))
  console.warn(`tests that need "${name}" are not run: ${error instanceof Error ? error.message : String(error)}`)
  return { url: '', end: () => Promise.resolve() }
}

declare module 'vitest' {
  export interface ProvidedContext {
    /** The server all integration tests share. Use `createTestDatabase` rather than this. */
    postgresUrl: string
    /** The broker all tests share, as comma-separated addresses: use topics and groups of random names, and never stop it. */
    kafkaBrokers: string
    /** The broker all tests share: use exchanges and queues of random names, and never stop it. */
    rabbitmqUrl: string
    /** The server all tests share: use keys of random names. */
    redisUrl: string
    /** The server all tests share: use tables of random names. */
    dynamodbEndpoint: string
  }
}
