import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import type { ConformanceCase } from '@malote/outbox-core/testing'
import { after, monotonicMs } from '../../clock.ts'

/** A server with one idempotent route, as the kit attacks it. */
export interface HostileClientHarness {
  /**
   * The route, for example `http://127.0.0.1:3000/orders`. It takes POST with an `Idempotency-Key`, JSON bodies up to 1 MiB
   * at least, has one effect for a request, and answers 201.
   */
  readonly url: string
  /** How many effects there are. */
  effects(): Promise<number>
  /** What every request carries besides, to authenticate for example. */
  readonly headers?: Readonly<Record<string, string>>
}

export type Case = ConformanceCase<HostileClientHarness>

export interface Answer {
  readonly status: number
  /** The head, in lower case. */
  readonly head: string
  readonly text: string
}

/** One connection whose every byte is ours. */
export interface RawConnection {
  readonly socket: Socket
  write(bytes: string | Uint8Array): Promise<void>
  /** The answer; undefined when the server closed the connection without one. */
  readonly answer: Promise<Answer | undefined>
  /** Resolves once `text` has arrived. */
  arrived(text: string): Promise<void>
  /** Goes away without a word. */
  cut(): Promise<void>
}

/** A server that has not answered and closed by then leaves its clients hanging: its connection ends without an answer. */
const patienceMs = 30_000

export async function open(harness: HostileClientHarness): Promise<RawConnection> {
  const { hostname, port } = new URL(harness.url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', reject)
  })
  let received = ''
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => resolve())
  })
  socket.on('data', (data) => (received += data.toString('latin1')))
  // A server may close on a client that does what these do: the close says so too.
  socket.on('error', () => {})
  const cancel = after(patienceMs, () => socket.destroy())
  void closed.then(cancel)
  return {
    socket,
    // A server that has answered need not read on.
    write: (bytes) => Promise.race([closed, new Promise<void>((resolve) => socket.write(bytes, () => resolve()))]),
    answer: closed.then(() => parse(received)),
    arrived: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!received.includes(text)) return
          socket.off('data', look)
          resolve()
        }
        socket.on('data', look)
        look()
        void closed.then(() => reject(new Error(`the server closed the connection before it sent ${text}`)))
      }),
    cut: () => {
      socket.destroy()
      return closed
    },
  }
}

/** The last answer on a connection: `100 Continue` and earlier ones of a pipeline come before it. */
function parse(received: string): Answer | undefined {
  const at = received.lastIndexOf('HTTP/1.1 ')
  if (at < 0) return undefined
  const [head = '', ...rest] = received.slice(at).split('\r\n\r\n')
  return { status: Number(head.slice(9, 12)), head: head.toLowerCase(), text: rest.join('\r\n\r\n') }
}

export interface RequestParts {
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>> | readonly string[]
  readonly contentType?: string
}

/** The head of a request that closes its connection. `headers` as lines: sent as they are. */
export function headOf(harness: HostileClientHarness, parts: RequestParts, bodyHeader: string): string {
  const { pathname, host } = new URL(harness.url)
  const lines = Array.isArray(parts.headers)
    ? (parts.headers as readonly string[])
    : Object.entries(parts.headers ?? {}).map(([name, value]) => `${name}: ${value}`)
  return [
    `POST ${pathname} HTTP/1.1`,
    `host: ${host}`,
    'connection: close',
    `content-type: ${parts.contentType ?? 'application/json'}`,
    ...Object.entries(harness.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
    ...(parts.key === undefined ? [] : [`idempotency-key: ${parts.key}`]),
    ...lines,
    bodyHeader,
    '',
    '',
  ].join('\r\n')
}

/** Sends a whole request on a connection of its own. */
export async function send(
  harness: HostileClientHarness,
  parts: RequestParts,
  body: string | Uint8Array,
): Promise<Answer | undefined> {
  const connection = await open(harness)
  const bytes = Buffer.from(body as string)
  await connection.write(headOf(harness, parts, `content-length: ${String(bytes.length)}`))
  await connection.write(bytes)
  return connection.answer
}

/**
 * Asserts a bound on time that holds on a machine of any speed.
 *
 * @param tookMs - what the hostile work took, in milliseconds
 * @param quietMs - what it may take in any case
 * @param times - how many times as long as `yardstick` takes now it may take otherwise
 */
export async function assertQuick(
  tookMs: number,
  quietMs: number,
  times: number,
  yardstick: () => Promise<unknown>,
): Promise<void> {
  if (tookMs < quietMs) return
  const yardstickMs = await timeOf(yardstick)
  const told = `it took ${String(Math.round(tookMs))} ms, and its yardstick ${String(Math.round(yardstickMs))} ms`
  assert.ok(tookMs < times * yardstickMs, told)
}

export async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const startMs = monotonicMs()
  await work()
  return monotonicMs() - startMs
}

/** The server still serves, and nothing that came before has had an effect it should not have. */
export async function stillServes(harness: HostileClientHarness): Promise<void> {
  const before = await harness.effects()
  const answer = await send(harness, { key: randomUUID() }, '{"amount":1}')
  assert.equal(answer?.status, 201, `a good request after it got ${String(answer?.status)}: ${String(answer?.text)}`)
  assert.equal(await harness.effects(), before + 1)
}

/** @returns how much `work` has added to the effects */
export async function effectsOf(harness: HostileClientHarness, work: () => Promise<unknown>): Promise<number> {
  const before = await harness.effects()
  await work()
  return (await harness.effects()) - before
}

export const isReplay = (answer: Answer | undefined): boolean => answer?.head.includes('-replayed: true') ?? false
