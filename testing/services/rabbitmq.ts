import { canInstallDebianPackages, installDebianPackage } from './debian-package.ts'
import { dockerAnswers } from './docker.ts'
import { startRabbitmqContainer } from './rabbitmq-container.ts'
import { debianScripts, rabbitmqScripts, startRabbitmqProcess } from './rabbitmq-process.ts'

/** A real RabbitMQ for tests and demos. */
export interface RabbitmqService {
  /** `amqp://…`. Stays the same over `stop` and `start`. */
  readonly url: string
  readonly origin: 'environment' | 'container' | 'binary'
  /** The process to signal on this host, or null when the broker runs elsewhere. */
  readonly pid: number | null
  /** `graceful` closes connections and listeners; `kill` is a crash. Data is kept for `start`. */
  stop(mode?: 'graceful' | 'kill'): Promise<void>
  /**
   * Resolves once a crash takes none of the queues that were declared so far. RabbitMQ notes its quorum queues in a file that it saves
   * about a second later; a queue that was noted and not saved is listed after the crash, and answers nobody or is bound to nothing.
   */
  queuesSaved(): Promise<void>
  /** Starts a stopped broker again on the same port and data. */
  start(): Promise<void>
  /** Runs `rabbitmqctl` against the broker and gives what it printed. Takes about two seconds. */
  ctl(...args: string[]): Promise<string>
  /** Ends the broker for good and removes its data. */
  dispose(): Promise<void>
}

export interface RabbitmqServiceOptions {
  /** A broker of one's own, for tests that stop it: never the one of `MALOTE_TEST_RABBITMQ_URL`. @defaultValue false */
  readonly exclusive?: boolean
}

/**
 * Finds a RabbitMQ, in this order: `MALOTE_TEST_RABBITMQ_URL`, the Debian in the folder `MALOTE_TEST_RABBITMQ_ROOT`, Docker, an installed one, Debian's package (as root).
 *
 * @throws Error that says what to install when there is none
 */
export async function startRabbitmq(options: RabbitmqServiceOptions = {}): Promise<RabbitmqService> {
  const { MALOTE_TEST_RABBITMQ_URL: url = '', MALOTE_TEST_RABBITMQ_ROOT: root = '' } = process.env
  if (url !== '' && options.exclusive !== true) return foreignRabbitmq(url)
  if (root !== '') return startRabbitmqProcess({ scripts: debianScripts, root })
  if (await dockerAnswers()) return startRabbitmqContainer()
  let scripts = rabbitmqScripts()
  if (scripts === null && canInstallDebianPackages()) {
    installDebianPackage('rabbitmq-server')
    scripts = rabbitmqScripts()
  }
  if (scripts !== null) return startRabbitmqProcess({ scripts, root: null })
  throw new Error(
    'tests against RabbitMQ cannot run: start Docker, install rabbitmq-server, or set MALOTE_TEST_RABBITMQ_URL to a broker that may be filled with test queues',
  )
}

function foreignRabbitmq(url: string): RabbitmqService {
  const refuse = (): Promise<never> =>
    Promise.reject(new Error('the broker of MALOTE_TEST_RABBITMQ_URL is not ours to control'))
  return {
    url,
    origin: 'environment',
    pid: null,
    stop: refuse,
    queuesSaved: refuse,
    start: refuse,
    ctl: refuse,
    dispose: () => Promise.resolve(),
  }
}
