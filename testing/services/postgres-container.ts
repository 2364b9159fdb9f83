import { GenericContainer, Wait } from 'testcontainers'

/** Runs PostgreSQL in a container of this image, for example `postgres:18.4`, with what our own server is started with. */
export async function startPostgresContainer(image: string): Promise<{ readonly url: string; end(): Promise<void> }> {
  const started = await new GenericContainer(image)
    .withEnvironment({ POSTGRES_PASSWORD: 'malote' })
    .withCommand(['postgres', '-c', 'max_connections=200', '-c', 'max_prepared_transactions=10'])
    .withExposedPorts(5432)
    // Once by the server that fills the empty folder, once by the one that stays.
    .withWaitStrategy(Wait.forLogMessage(/database system is ready to accept connections/, 2))
    .start()
  return {
    url: `postgres://postgres:malote@${started.getHost()}:${String(started.getMappedPort(5432))}/postgres`,
    end: async () => {
      await started.stop()
    },
  }
}
