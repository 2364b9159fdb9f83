import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers'
import { kafkaImage } from './docker.ts'
import { stablePort } from './stable-port.ts'
import { kafkaSettings } from './kafka-settings.ts'
import type { KafkaService } from './kafka.ts'

/** Runs Apache's own image, on a host port that stays the same when the container is stopped and started. */
export async function startKafkaContainer(version: string): Promise<KafkaService> {
  // A fixed host port: clients are told the advertised address, and a mapped port changes on restart.
  const port = await stablePort()
  const settings = kafkaSettings({ port, controllerPort: 9093, listenOn: '0.0.0.0', dataDir: '/tmp/kafka-data' })
  const environment = Object.entries(settings).map(([name, value]) => [
    `KAFKA_${name.toUpperCase().replaceAll('.', '_')}`,
    value,
  ])
  const started = await new GenericContainer(kafkaImage(version))
    .withEnvironment({ ...Object.fromEntries(environment), KAFKA_HEAP_OPTS: '-Xmx384m' })
    .withExposedPorts({ container: port, host: port })
    .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
    .start()
  const runtime = await getContainerRuntimeClient()
  const container = runtime.container.getById(started.getId())

  return {
    brokers: [`127.0.0.1:${String(port)}`],
    origin: 'container',
    pid: null,
    stop: async (mode = 'graceful') => {
      await (mode === 'graceful' ? container.stop() : container.kill())
    },
    pause: async () => {
      await container.pause()
      return async () => void (await container.unpause())
    },
    start: async () => {
      const since = Math.floor(Date.now() / 1000)
      await container.start()
      const logs = await container.logs({ follow: true, stdout: true, stderr: true, since })
      for await (const chunk of logs) if (String(chunk).includes('Kafka Server started')) break
    },
    dispose: async () => {
      await started.stop()
    },
  }
}
