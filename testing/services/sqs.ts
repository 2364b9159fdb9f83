import { SNSClient, type SNSClientConfig } from '@aws-sdk/client-sns'
import { SQSClient, type SQSClientConfig } from '@aws-sdk/client-sqs'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startFauxqs } from 'fauxqs'
import { HarnessError } from '../harness-error.ts'
import { stablePort } from './stable-port.ts'

export interface SqsService {
  /** Base address of SQS and SNS, for example `http://127.0.0.1:4566`. Stays the same over restarts. */
  readonly endpoint: string
  readonly port: number
  /** Where it came from, for reports. */
  readonly origin: string
  /** Ends the server and removes temporary data. */
  close(): Promise<void>
}

/** A server in a process of its own, which can be killed and started again on the same port and data. */
export interface RestartableSqsService extends SqsService {
  /** Process id of the server now running. */
  readonly pid: number
  /** SIGKILL: connections are cut, what was acknowledged is on disk. */
  stop(): Promise<void>
  start(): Promise<void>
}

/**
 * An SQS and SNS to talk to: the one `MALOTE_TEST_SQS_ENDPOINT` names (LocalStack, ElasticMQ, …), else fauxqs in this process,
 * in memory, up in less than 0.1 s.
 */
export async function startSqs(options: { readonly port?: number } = {}): Promise<SqsService> {
  const given = givenSqsEndpoint()
  if (given !== null) {
    const endpoint = given.replace(/\/$/, '')
    return { endpoint, port: Number(new URL(endpoint).port || 80), origin: 'environment', close: async () => {} }
  }
  const server = await startFauxqs({ port: options.port ?? 0, host: '127.0.0.1', logger: false })
  return {
    endpoint: `http://127.0.0.1:${String(server.port)}`,
    port: server.port,
    origin: 'fauxqs in process',
    close: () => server.stop(),
  }
}

export interface SqsProcessOptions {
  /** Default: a free one. */
  readonly port?: number
  /** Keep queues and messages here and find them again next time. Default: a temporary folder, removed on close. */
  readonly dataDir?: string
}

// Memory outlives a killed process as well as a disk does, and takes half the time of one.
const temporaryRoot = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** fauxqs in a process of its own, with its messages on disk. It ends when this process does, however that ends. */
export async function startSqsProcess(options: SqsProcessOptions = {}): Promise<RestartableSqsService> {
  const port = options.port ?? (await stablePort())
  const dataDir = options.dataDir ?? mkdtempSync(join(temporaryRoot, 'malote-sqs-'))
  let server = await launch(port, dataDir)
  return {
    endpoint: `http://127.0.0.1:${String(port)}`,
    port,
    origin: 'fauxqs in a process of its own',
    get pid() {
      return server.pid as number
    },
    stop: () => kill(server),
    start: async () => {
      server = await launch(port, dataDir)
    },
    close: async () => {
      await kill(server)
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

/** The server to test against instead of our own, or null. It is not ours to stop. */
export function givenSqsEndpoint(): string | null {
  const given = process.env['MALOTE_TEST_SQS_ENDPOINT'] ?? ''
  return given === '' ? null : given
}

/** A client as an application would make one, with credentials that mean nothing. Destroy it when done. */
export function sqsClient(endpoint: string, config: SQSClientConfig = {}): SQSClient {
  return new SQSClient({ ...clientConfig(endpoint), ...config })
}

export function snsClient(endpoint: string, config: SNSClientConfig = {}): SNSClient {
  return new SNSClient({ ...clientConfig(endpoint), ...config })
}

function clientConfig(endpoint: string): SQSClientConfig & SNSClientConfig {
  return {
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 2,
  }
}

async function launch(port: number, dataDir: string): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('fauxqs-server.mjs', import.meta.url))
  const server = fork(script, [String(port), dataDir], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] })
  let log = ''
  server.stderr?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4_000)))
  await new Promise<void>((resolve, reject) => {
    server.once('message', () => resolve())
    server.once('error', reject)
    server.once('exit', (code) =>
      reject(new HarnessError(`fauxqs ended with ${String(code)} before it was ready:\n${log}`)),
    )
  })
  return server
}

async function kill(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = once(server, 'exit')
  server.kill('SIGKILL')
  await exited
}
