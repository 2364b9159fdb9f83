import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { HarnessError } from '../harness-error.ts'
import { scaled } from '../slowness.ts'
import { stablePort } from './stable-port.ts'
import { savedMark, untilSaved } from './rabbitmq-queue-names.ts'
import type { RabbitmqService } from './rabbitmq.ts'
import { type ServerUser, serverUser } from './server-user.ts'

/** Debian's own scripts: the ones on its PATH change folder and user. */
export const debianScripts = '/usr/lib/rabbitmq/bin'

/** Debian's come first, then PATH, then Homebrew. */
const scriptFolders = [debianScripts, ...(process.env['PATH'] ?? '').split(':'), '/opt/homebrew/sbin']

/** The folder of `rabbitmq-server` on this host, or null. */
export function rabbitmqScripts(): string | null {
  return scriptFolders.find((folder) => folder !== '' && existsSync(join(folder, 'rabbitmq-server'))) ?? null
}

/** Where a RabbitMQ is installed. */
export interface RabbitmqInstallation {
  /** The folder of `rabbitmq-server`. */
  readonly scripts: string
  /** The folder of a whole system of its own, in which `scripts` is looked up and everything runs (`chroot`, so only root can); null: this host's. */
  readonly root: string | null
}

interface Node extends RabbitmqInstallation {
  readonly folder: string
  readonly port: number
  readonly epmdPort: number
  readonly user: ServerUser
  readonly env: NodeJS.ProcessEnv
}

interface Processes {
  readonly epmd: ChildProcess
  readonly broker: ChildProcess
  readonly guard: ChildProcess
}

/**
 * Runs a broker from an installed RabbitMQ: private folder, cookie, node name and ports, everything on loopback. The port
 * mapper (epmd) is our own child too, because the one RabbitMQ would start on its own outlives it.
 */
export async function startRabbitmqProcess(installation: RabbitmqInstallation): Promise<RabbitmqService> {
  const node = await prepareNode(installation)
  let processes = await launch(node)

  return {
    url: `amqp://guest:guest@127.0.0.1:${String(node.port)}`,
    origin: 'binary',
    get pid() {
      return processes.broker.pid ?? null
    },
    stop: async (mode = 'graceful') => {
      await endAll(processes, mode === 'graceful' ? 'SIGTERM' : 'SIGKILL')
    },
    queuesSaved: () => untilSaved(() => savedMark(join(node.folder, 'mnesia'))),
    start: async () => {
      processes = await launch(node)
    },
    ctl: async (...args) => {
      const { command, flags, options } = within(node, join(node.scripts, 'rabbitmqctl'), ['--quiet', ...args])
      return (await promisify(execFile)(command, flags, options)).stdout
    },
    dispose: async () => {
      await endAll(processes, 'SIGKILL')
      rmSync(node.folder, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

/** How a program of the installation is run. Below a root of its own it changes the user itself: only root may change the root. */
function within(
  { root, folder, env, user }: Node,
  program: string,
  args: readonly string[],
): { command: string; flags: string[]; options: { env: NodeJS.ProcessEnv; cwd: string } & ServerUser } {
  if (root === null) return { command: program, flags: [...args], options: { env, cwd: folder, ...user } }
  // In a view of the file systems of its own, which ends with the program: RabbitMQ reads from /proc how much memory there is.
  const script = 'mount -t proc proc "$1/proc" && root=$1 && as=$2 && shift 2 && exec chroot "$as" "$root" "$@"'
  const as = `--userspec=${String(user.uid)}:${String(user.gid)}`
  const flags = ['--mount', 'sh', '-c', script, 'sh', root, as, program, ...args]
  return { command: 'unshare', flags, options: { env, cwd: folder } }
}

async function prepareNode({ scripts, root }: RabbitmqInstallation): Promise<Node> {
  const folder = mkdtempSync(join(root ?? '', tmpdir(), 'malote-rabbitmq-'))
  const user = serverUser()
  const [port, epmdPort, distPort] = [await stablePort(), await stablePort(), await stablePort()]
  for (const name of ['mnesia', 'log', 'schema', 'config']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'rabbitmq.conf'), settings(port))
  writeFileSync(join(folder, 'enabled_plugins'), '[].\n')
  writeFileSync(join(folder, 'env.conf'), '')
  if (user.uid !== undefined) spawnSync('chown', ['-R', `${String(user.uid)}:${String(user.gid)}`, folder])
  return { scripts, root, folder, port, epmdPort, user, env: environment(folder, epmdPort, distPort) }
}

function settings(port: number): string {
  return [
    `listeners.tcp.1 = 127.0.0.1:${String(port)}`,
    // A nearly full disk blocks every publisher: not what a test is about.
    'disk_free_limit.absolute = 50MB',
    'raft.wal_max_size_bytes = 64000000',
    '',
  ].join('\n')
}

function environment(folder: string, epmdPort: number, distPort: number): NodeJS.ProcessEnv {
  const loopback = '-kernel inet_dist_use_interface {127,0,0,1}'
  return {
    PATH: process.env['PATH'],
    HOME: folder, // The Erlang cookie is made here.
    LC_ALL: 'C.UTF-8',
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_CRASH_DUMP: join(folder, 'erl_crash.dump'),
    RABBITMQ_NODENAME: `${basename(folder)}@localhost`,
    RABBITMQ_DIST_PORT: String(distPort),
    // Idle schedulers sleep instead of spinning: the broker shares its few cores with everything that is tested.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `${loopback} +sbwt none +sbwtdcpu none +sbwtdio none`,
    RABBITMQ_CTL_ERL_ARGS: loopback,
    RABBITMQ_CONF_ENV_FILE: join(folder, 'env.conf'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'config'),
    RABBITMQ_SCHEMA_DIR: join(folder, 'schema'),
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
  }
}

async function launch(node: Node): Promise<Processes> {
  const epmdFlags = ['-port', String(node.epmdPort), '-address', '127.0.0.1']
  const { command, flags, options } = within(node, 'epmd', epmdFlags)
  const epmd = spawn(command, flags, { ...options, stdio: 'ignore', detached: true })
  epmd.unref()
  try {
    await listening(epmd, node.epmdPort)
    const broker = await launchBroker(node)
    return { epmd, broker, guard: watchOver(node, broker, epmd) }
  } catch (error) {
    signal(epmd, 'SIGKILL')
    throw error
  }
}

async function launchBroker(node: Node): Promise<ChildProcess> {
  // Its own group: the script and the Erlang machine under it are signalled together, and Ctrl-C reaches neither.
  const { command, flags, options } = within(node, join(node.scripts, 'rabbitmq-server'), [])
  const broker = spawn(command, flags, { ...options, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const said: string[] = []
  await new Promise<void>((resolve, reject) => {
    const hear = (line: string): void => {
      if (said.push(line) > 50) said.shift()
      if (/completed with \d+ plugins/.test(line)) resolve()
    }
    createInterface({ input: broker.stdout }).on('line', hear)
    createInterface({ input: broker.stderr }).on('line', hear)
    broker.once('error', reject)
    broker.once('exit', (code) =>
      reject(new HarnessError(`RabbitMQ ended with ${String(code)} before it was ready:\n${said.join('\n')}`)),
    )
  })
  broker.unref()
  return broker
}

/** Kills the broker when this process is gone, however it went: its end of the pipe closes, and the guard's `read` with it. */
function watchOver(node: Node, broker: ChildProcess, epmd: ChildProcess): ChildProcess {
  const script = 'read -r _; kill -KILL "-$1" "$2"; rm -rf "$3"'
  const guard = spawn('sh', ['-c', script, 'sh', String(broker.pid), String(epmd.pid), node.folder], {
    cwd: node.folder,
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    ...node.user,
  })
  guard.unref()
  return guard
}

async function endAll(processes: Processes, brokerSignal: NodeJS.Signals): Promise<void> {
  await end(processes.guard, 'SIGKILL')
  await end(processes.broker, brokerSignal)
  await end(processes.epmd, 'SIGKILL')
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  let failure: unknown
  child.once('error', (error) => (failure = error))
  const deadlineMs = Date.now() + scaled(10_000)
  while (Date.now() < deadlineMs) {
    if (failure !== undefined || child.exitCode !== null) break
    if (await answers(port)) return
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  throw new HarnessError(`epmd does not listen on port ${String(port)}`, { cause: failure })
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false // Not up yet: the caller asks again.
  } finally {
    socket.destroy()
  }
}

async function end(child: ChildProcess, name: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.ref()
  signal(child, name)
  await exited
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(-child.pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // ESRCH: it ended by itself.
  }
}
