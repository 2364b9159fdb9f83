import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { HarnessError } from '../harness-error.ts'
import { stablePort } from './stable-port.ts'
import { jarFolder } from './maven-jars.ts'
import type { SqsService } from './sqs.ts'

/**
 * [ElasticMQ](https://github.com/softwaremill/elasticmq) from Maven Central, in memory, on this host's Java. It has no SNS.
 *
 * @throws Error that says what to install when there is none
 */
export async function startElasticMq(): Promise<SqsService> {
  const jars = jarFolder({
    folder: 'elasticmq-1.6.15',
    artifacts: [
      { group: 'org.elasticmq', artifact: 'elasticmq-rest-sqs_2.13', version: '1.6.15' },
      { group: 'org.slf4j', artifact: 'slf4j-nop', version: '2.0.17' },
    ],
    advice: 'ElasticMQ cannot run: install a Java 17 JDK and Maven',
  })
  const port = await stablePort()
  const program = join(import.meta.dirname, 'ElasticMqOnLoopback.java')
  const server = spawn('java', ['-Xmx384m', '-cp', join(jars, '*'), program, String(port)], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const isReady = (async () => {
    for await (const line of createInterface({ input: server.stdout })) if (line === 'ready') return
  })()
  return serviceOf('ElasticMQ 1.6.15', server, port, isReady, () => server.stdin.end())
}

/**
 * [moto](https://docs.getmoto.org) as a server, in memory. It has SNS too, and takes some 100 ms for a request.
 *
 * @param packages - where pip has put it
 */
export async function startMoto(packages: string): Promise<SqsService> {
  const port = await stablePort()
  const server = spawn('/usr/bin/python3', ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], {
    stdio: 'ignore',
    env: { ...process.env, PYTHONPATH: packages },
  })
  process.once('exit', () => server.kill())
  const isReady = (async () => {
    const answers = (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${String(port)}/moto-api/`).then(
        ({ ok }) => ok,
        () => false, // Not up yet.
      )
    while (!(await answers())) await new Promise((resolve) => setTimeout(resolve, 100))
  })()
  return serviceOf('moto 5.2.5', server, port, isReady, () => server.kill())
}

async function serviceOf(
  origin: string,
  server: ChildProcess,
  port: number,
  isReady: Promise<void>,
  end: () => void,
): Promise<SqsService> {
  const exited = once(server, 'exit')
  const tooEarly = exited.then(([code]) => Promise.reject(new HarnessError(`${origin} ended with ${String(code)}`)))
  await Promise.race([isReady, tooEarly])
  tooEarly.catch(() => {}) // It ends when it is closed.
  return {
    endpoint: `http://127.0.0.1:${String(port)}`,
    port,
    origin,
    close: async () => {
      end()
      await exited
    },
  }
}
