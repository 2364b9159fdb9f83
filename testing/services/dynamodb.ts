import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { HarnessError } from '../harness-error.ts'
import { stablePort } from './stable-port.ts'
import { jarFolder } from './maven-jars.ts'

export interface DynamodbService {
  readonly endpoint: string
  /** Ends the server; its data was in memory. */
  close(): Promise<void>
}

/**
 * A DynamoDB to talk to: the one `MALOTE_TEST_DYNAMODB_ENDPOINT` names, else Amazon's DynamoDB Local from Maven Central on
 * this host's Java.
 *
 * @throws Error that says what to install when there is none
 */
export async function startDynamodb(): Promise<DynamodbService> {
  const given = process.env['MALOTE_TEST_DYNAMODB_ENDPOINT']
  if (given !== undefined && given !== '') return { endpoint: given, close: () => Promise.resolve() }
  const jars = jarFolder({
    folder: 'dynamodb-local-2.6.1',
    artifacts: [{ group: 'com.amazonaws', artifact: 'DynamoDBLocal', version: '2.6.1' }],
    advice: 'tests against DynamoDB cannot run: install a Java 17 JDK and Maven, or set MALOTE_TEST_DYNAMODB_ENDPOINT',
  })
  const port = await stablePort()
  const flags = ['-Xmx256m', '-cp', join(jars, '*'), `-Djava.library.path=${jars}`]
  const program = join(import.meta.dirname, 'DynamoDbOnLoopback.java')
  const server = spawn('java', [...flags, program, String(port)], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, DDB_LOCAL_TELEMETRY: '0' },
  })
  const exited = once(server, 'exit')
  const first = await Promise.race([waitForReady(server.stdout), exited, once(server, 'error')])
  if (first !== 'ready') throw new HarnessError(`DynamoDB Local ended before it was ready: ${String(first)}`)
  return {
    endpoint: `http://127.0.0.1:${String(port)}`,
    close: async () => {
      server.stdin.end()
      await exited
    },
  }
}

function waitForReady(output: NodeJS.ReadableStream): Promise<'ready'> {
  return new Promise((resolve) => {
    createInterface({ input: output }).on('line', (line) => {
      if (line === 'ready') resolve('ready')
    })
  })
}
