import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Consumer, PublishOutageError, type Publisher, type PublishResult } from '../library.ts'
import type { BrokerKind, BrokerSettings, ChaosConsumerOptions } from './broker.ts'

const newline = 10

interface Line {
  readonly id: string
  readonly key: string | null
}

/**
 * Not a broker but a file, for trying the runner itself in seconds: an append is an acknowledgement, one consumer reads from
 * where it last acknowledged. A run on it says nothing about an adapter.
 */
export const log: BrokerKind = {
  start: () => {
    const folder = mkdtempSync(join(tmpdir(), 'malote-chaos-log-'))
    const address = join(folder, 'messages')
    writeFileSync(address, '')
    return Promise.resolve({
      settings: { kind: 'log', address },
      port: null,
      through: () => ({ kind: 'log', address }),
      restart: async (downMs) => {
        writeFileSync(`${address}.down`, '')
        await sleep(downMs)
        rmSync(`${address}.down`)
      },
      trouble: async (how, forMs) => {
        writeFileSync(`${address}.${how}`, '')
        await sleep(forMs)
        rmSync(`${address}.${how}`)
      },
      // Its consumer knows no dead letters.
      refuseDeadLetters: () => Promise.resolve(),
      deadLetters: () => Promise.resolve(0),
      unacknowledged: () => {
        const position = `${address}.position`
        const at = existsSync(position) ? Number(readFileSync(position, 'utf8')) : 0
        const rest = readFileSync(address).subarray(at)
        return Promise.resolve(rest.filter((byte) => byte === newline).length)
      },
      close: () => Promise.resolve(rmSync(folder, { recursive: true })),
    })
  },
  publisher,
  consumer,
}

const unavailable = { kind: 'unavailable', destination: 'the log', code: 'AWAY', message: 'takes nothing' } as const

function publisher({ address }: BrokerSettings): Publisher {
  return {
    name: 'log',
    close: () => Promise.resolve(),
    publish: async (batch) => {
      if (existsSync(`${address}.down`)) throw new PublishOutageError('the log is down')
      // Throttled: the first messages of a batch get through, now and then.
      const taken = existsSync(`${address}.away`)
        ? 0
        : existsSync(`${address}.throttled`)
          ? Math.floor(Math.random() * 2)
          : batch.length
      for (const { id, orderingKey: key } of batch.slice(0, taken))
        appendFileSync(address, `${JSON.stringify({ id, key })}\n`)
      await sleep(5)
      return batch.map(({ id }, at): PublishResult =>
        at < taken ? { id, status: 'accepted' } : { id, status: 'failed', failure: unavailable },
      )
    },
  }
}

function consumer({ address }: BrokerSettings, { handler }: ChaosConsumerOptions): Consumer {
  const position = `${address}.position`
  const stopping = new AbortController()
  let work = Promise.resolve()
  const read = async (): Promise<void> => {
    const file = openSync(address, 'r')
    let at = existsSync(position) ? Number(readFileSync(position, 'utf8')) : 0
    const buffer = Buffer.alloc(65_536)
    while (!stopping.signal.aborted) {
      const text = buffer.toString('utf8', 0, readSync(file, buffer, 0, buffer.length, at))
      const end = text.indexOf('\n')
      if (end === -1) {
        await sleep(20)
        continue
      }
      const { id, key } = JSON.parse(text.slice(0, end)) as Line
      const message = { id, topic: 'chaos', type: '', orderingKey: key, headers: {}, contentType: '' }
      const delivery = { attempt: 1, signal: AbortSignal.timeout(60_000) }
      const rest = { body: new Uint8Array(), createdAt: new Date(), json: () => null }
      const isHandled = await handler({ ...delivery, message: { ...message, ...rest } }).then(
        () => true,
        () => sleep(100, false),
      )
      if (!isHandled) continue
      at += end + 1
      // A kill between truncating and writing would lose the place.
      writeFileSync(`${position}.next`, String(at))
      renameSync(`${position}.next`, position)
    }
  }
  return {
    name: 'log',
    start: () => Promise.resolve(void (work = read())),
    stop: async () => {
      stopping.abort()
      await work
    },
  }
}
