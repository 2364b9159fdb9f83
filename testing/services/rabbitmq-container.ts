import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers'
import { rabbitmqImage } from './docker.ts'
import { stablePort } from './stable-port.ts'
import { untilSaved } from './rabbitmq-queue-names.ts'
import type { RabbitmqService } from './rabbitmq.ts'

const readSavedMark = 'od -An -tu1 -j11 -N1 /var/lib/rabbitmq/mnesia/*/quorum/*/names.dets'

/** Runs the broker in a container, on a host port that stays the same when the container is stopped and started. */
export async function startRabbitmqContainer(): Promise<RabbitmqService> {
  const port = await stablePort()
  const ready = Wait.forLogMessage(/Server startup complete/)
  const started = await new GenericContainer(rabbitmqImage)
    .withExposedPorts({ container: 5672, host: port })
    .withWaitStrategy(ready)
    .start()
  const runtime = await getContainerRuntimeClient()
  const container = runtime.container.getById(started.getId())
  const exec = async (...command: string[]): Promise<string> => {
    const { output, exitCode } = await started.exec(command)
    if (exitCode !== 0) throw new Error(`${command.join(' ')} ended with ${String(exitCode)}: ${output}`)
    return output
  }
  return {
    url: `amqp://guest:guest@${started.getHost()}:${String(port)}`,
    origin: 'container',
    pid: null,
    stop: async (mode = 'graceful') => {
      await (mode === 'graceful' ? container.stop() : container.kill())
    },
    queuesSaved: () => untilSaved(async () => Number((await exec('sh', '-c', readSavedMark)).trim())),
    start: async () => {
      await container.start()
      await exec('rabbitmqctl', 'await_startup')
    },
    ctl: (...args) => exec('rabbitmqctl', '--quiet', ...args),
    dispose: async () => {
      await started.stop()
    },
  }
}
