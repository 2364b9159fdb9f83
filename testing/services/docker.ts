/** Images, as in docker-compose.yml: whole versions, so that a run can be repeated. */
export const rabbitmqImage = 'rabbitmq:4.2.5'
export const kafkaImage = (version: string): string => `apache/kafka:${version}`

async function askDaemon(): Promise<void> {
  const { getContainerRuntimeClient } = await import('testcontainers') // Slow to load, and most runs have brokers already.
  await getContainerRuntimeClient()
}

/**
 * Tells whether a Docker daemon (or a relative) answers; without one the next source of a broker is tried. Where the variable
 * `MALOTE_TEST_CONTAINERS` is `required` there is no next source: the run is about containers, and would say nothing without them.
 *
 * @param ask - rejects when there is none; a test has its own
 * @throws Error when containers are required and no daemon answers
 */
export async function dockerAnswers(ask: () => Promise<void> = askDaemon): Promise<boolean> {
  try {
    await ask()
    return true
  } catch (error) {
    if (process.env['MALOTE_TEST_CONTAINERS'] !== 'required') return false // Not installed or not running.
    throw new Error('no Docker daemon answers, and MALOTE_TEST_CONTAINERS requires one', { cause: error })
  }
}
