import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { scaled } from '../slowness.ts'

/**
 * A network namespace of a relay's own, with one cable to where PostgreSQL is and one to where the broker is. Either can be pulled: then
 * packets do not arrive, and nobody is told.
 */
export interface Links {
  /** What a command is put behind, to run in the namespace. */
  readonly command: readonly string[]
  /** Our end of the cable, for a proxy to listen on. Nobody but the namespace is on it. */
  address(way: Way): string
  /** The other end: the only one whose connections a proxy may take. */
  peer(way: Way): string
  /** To which port `reaches` tries to connect. */
  listensOn(way: Way, port: number): void
  set(way: Way, state: 'up' | 'down'): void
  /** Whether a connection can be made from within. */
  reaches(way: Way): Promise<boolean>
  close(): void
}

type Way = 'database' | 'broker'
const ways: readonly Way[] = ['database', 'broker']

/** Why there can be none here; null: there can. */
export function whyNoNamespaces(): string | null {
  if (process.getuid?.() !== 0) return 'only root can make network namespaces'
  return spawnSync('ip', ['netns', 'list']).status === 0 ? null : 'the command `ip` (iproute2) is missing'
}

let made = 0

export function createLinks(): Links {
  removeLeftOver()
  const number = made++
  const name = `${prefix}${String(process.pid)}-${String(number)}`
  ip('netns', 'add', name)
  ip('-n', name, 'link', 'set', 'lo', 'up')
  const cables = new Map(ways.map((way, index) => [way, cable(name, number * 2 + index)]))
  const ports = new Map<Way, number>()
  const of = (way: Way): Cable => cables.get(way) as Cable
  return {
    command: ['ip', 'netns', 'exec', name],
    address: (way) => of(way).ours,
    peer: (way) => of(way).theirs,
    listensOn: (way, port) => void ports.set(way, port),
    set: (way, state) => ip('link', 'set', of(way).device, state),
    reaches: async (way) => {
      const place = `/dev/tcp/${of(way).ours}/${String(ports.get(way) ?? 0)}`
      const seconds = String(scaled(2_000) / 1_000)
      // Not spawnSync: the proxy that is to answer runs in this process.
      const child = spawn('ip', ['netns', 'exec', name, 'timeout', seconds, 'bash', '-c', `: < ${place}`], {
        stdio: 'ignore',
      })
      const [code] = (await once(child, 'exit')) as [number | null]
      return code === 0
    },
    close: () => ip('netns', 'del', name),
  }
}

interface Cable {
  readonly device: string
  readonly ours: string
  readonly theirs: string
}

/** Four addresses of the range that is set aside for tests of network devices; another run has others. */
function cable(namespace: string, number: number): Cable {
  const block = (process.pid % 1_024) * 32 + number
  const address = (host: number): string => {
    const at = block * 4 + host
    return `198.${String(18 + (at >> 16))}.${String((at >> 8) & 255)}.${String(at & 255)}`
  }
  const [device, end] = [`mc${String(process.pid)}h${String(number)}`, `mc${String(process.pid)}n${String(number)}`]
  ip('link', 'add', device, 'type', 'veth', 'peer', 'name', end, 'netns', namespace)
  ip('addr', 'add', `${address(1)}/30`, 'dev', device)
  ip('link', 'set', device, 'up')
  ip('-n', namespace, 'addr', 'add', `${address(2)}/30`, 'dev', end)
  ip('-n', namespace, 'link', 'set', end, 'up')
  return { device, ours: address(1), theirs: address(2) }
}

const prefix = 'malote-'

/** A run that was killed leaves its namespaces behind. */
function removeLeftOver(): void {
  const { stdout } = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' })
  for (const [name, pid] of stdout.matchAll(/^malote-(\d+)-\d+/gm))
    if (!existsSync(`/proc/${pid ?? ''}`)) ip('netns', 'del', name)
}

function ip(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`)
}
