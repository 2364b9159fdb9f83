// What `prisma generate` writes, for a schema without models: Prisma's own command line is not needed to try Malote on its client.
import { PrismaPg } from '@prisma/adapter-pg'
import * as runtime from '@prisma/client/runtime/client'

const compiler = '@prisma/client/runtime/query_compiler_fast_bg.postgresql'
const schema = `generator client {\n  provider = "prisma-client"\n}\n\ndatasource db {\n  provider = "postgresql"\n}\n`

/** As generated: the client, and the interactive transaction without what is not allowed in one. */
export interface PrismaClient {
  $connect(): Promise<void>
  $disconnect(): Promise<void>
  $queryRawUnsafe<T = unknown>(query: string, ...values: unknown[]): Promise<T>
  $executeRawUnsafe(query: string, ...values: unknown[]): Promise<number>
  $transaction<R>(
    work: (tx: Omit<PrismaClient, runtime.ITXClientDenyList>) => Promise<R>,
    options?: {
      maxWait?: number
      timeout?: number
      isolationLevel?: 'ReadUncommitted' | 'ReadCommitted' | 'RepeatableRead' | 'Serializable'
    },
  ): Promise<R>
}

export function createPrismaClient(connectionString: string): PrismaClient {
  const Client = runtime.getPrismaClient({
    previewFeatures: [],
    clientVersion: '7.10.0',
    engineVersion: '0'.repeat(40),
    activeProvider: 'postgresql',
    inlineSchema: schema,
    runtimeDataModel: { models: {}, enums: {}, types: {} },
    parameterizationSchema: { strings: [], graph: 'AAAA' },
    compilerWasm: {
      // The modules have no types, so their names are not literals here.
      getRuntime: () => import(`${compiler}.mjs`),
      getQueryCompilerWasmModule: async () => {
        const { wasm } = (await import(`${compiler}.wasm-base64.mjs`)) as { wasm: string }
        return new (
          globalThis as unknown as { WebAssembly: { Module: new (bytes: Uint8Array) => unknown } }
        ).WebAssembly.Module(Buffer.from(wasm, 'base64'))
      },
      importName: './query_compiler_fast_bg.js',
    },
  } as never)
  return new Client({ adapter: new PrismaPg({ connectionString }) }) as unknown as PrismaClient
}
