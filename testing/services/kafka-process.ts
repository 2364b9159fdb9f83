import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { stablePort } from './stable-port.ts'
import { HarnessError } from '../harness-error.ts'
import { pauseProcess } from '../pause-process.ts'
import { kafkaSettings } from './kafka-settings.ts'
import type { KafkaService } from './kafka.ts'

/** A small heap and the quick compiler: a test broker lives for a minute and carries megabytes. */
const javaFlags = ['-Xms64m', '-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Djava.awt.headless=true']

/**
 * Starts a broker from a folder of jars, on free loopback ports, with its data and logs in a temporary folder.
 *
 * @param classPath - folder of jars, written as Java's `folder/*`
 */
export async function startKafkaProcess(classPath: string): Promise<KafkaService> {
  const folder = mkdtempSync(join(tmpdir(), 'malote-kafka-'))
  const [port, controllerPort] = [await stablePort(), await stablePort()]
  const place = { port, controllerPort, listenOn: '127.0.0.1', dataDir: join(folder, 'data') }
  const settings = Object.entries(kafkaSettings(place)).map(([name, value]) => `${name}=${value}`)
  const settingsFile = join(folder, 'server.properties')
  writeFileSync(settingsFile, settings.join('\n'))
  const java = [
    ...javaFlags,
    `-Dlog4j2.configurationFile=${join(dirname(classPath), 'log4j2.properties')}`,
    '-cp',
    classPath,
  ]
  format(java, settingsFile)
  let broker = await launch(java, settingsFile, folder)

  const stop = (mode: 'graceful' | 'kill' = 'graceful'): Promise<void> =>
    end(broker, mode === 'kill' ? 'SIGKILL' : 'SIGTERM')
  return {
    brokers: [`127.0.0.1:${String(port)}`],
    origin: 'binary',
    get pid() {
      return broker.pid ?? null
    },
    stop,
    pause: async () => {
      const resume = await pauseProcess(broker.pid as number)
      return () => Promise.resolve(resume())
    },
    start: async () => {
      broker = await launch(java, settingsFile, folder)
    },
    dispose: async () => {
      await stop('kill')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function format(java: readonly string[], settingsFile: string): void {
  // Never a dash at the start: it would be read as an option.
  const clusterId = `M${randomBytes(16).toString('base64url').slice(1)}`
  const command = [...java, 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', settingsFile]
  const made = spawnSync('java', command, { encoding: 'utf8', cwd: tmpdir() })
  if (made.status !== 0)
    throw new HarnessError(`cannot format Kafka's storage:\n${`${made.stdout}${made.stderr}`.slice(-2_000)}`)
}

async function launch(java: readonly string[], settingsFile: string, folder: string): Promise<ChildProcess> {
  // Its own group: a terminal's Ctrl-C must not stop the broker before the clients that still use it.
  const broker = spawn('java', [...java, `-Dkafka.logs.dir=${folder}`, 'kafka.Kafka', settingsFile], {
    cwd: tmpdir(),
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  const log: string[] = []
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: broker.stderr }).on('line', (line) => {
      if (log.push(line) > 50) log.shift()
      if (line.includes('Kafka Server started')) resolve()
    })
    broker.once('error', reject)
    broker.once('exit', (code) =>
      reject(new HarnessError(`Kafka ended with ${String(code)} before it was ready:\n${log.join('\n')}`)),
    )
  })
  endWithThisProcess(broker, folder)
  broker.unref()
  return broker
}

/** However this process ends, also by SIGKILL, its end of the pipe closes and the guard ends the broker. */
function endWithThisProcess(broker: ChildProcess, folder: string): void {
  if (process.platform === 'win32') return
  const command = 'cat >/dev/null; kill -9 "$1"; rm -rf "$2"'
  const guard = spawn('sh', ['-c', command, 'guard', String(broker.pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.on('error', () => {}) // No shell: the broker is then ended by `dispose` alone.
  guard.unref()
  broker.once('exit', () => guard.kill('SIGKILL'))
}

async function end(broker: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (broker.exitCode !== null || broker.signalCode !== null) return
  const exited = once(broker, 'exit')
  broker.ref()
  broker.kill(signal)
  await exited
}
