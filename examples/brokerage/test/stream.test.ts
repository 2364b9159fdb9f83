import Fastify, { type FastifyInstance } from 'fastify'
import { connect, type Socket } from 'node:net'
import { EventEmitter, once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { type Stream, streamOf } from '../src/api/stream.ts'

const everyMs = 5
let app: FastifyInstance
let stream: Stream
/** Says `left` when the server has seen a watcher go. */
let watcherLeft: EventEmitter
afterEach(async () => {
  stream.close()
  await app.close()
})

async function serve(look: () => Promise<unknown>) {
  stream = streamOf('quotes', look, everyMs)
  watcherLeft = new EventEmitter()
  app = Fastify({ forceCloseConnections: true })
  app.get('/stream', (request, reply) => {
    const added = stream.add(request, reply)
    reply.raw.once('close', () => watcherLeft.emit('left'))
    return added
  })
  return app.listen({ host: '127.0.0.1', port: 0 })
}

/** Reads events as a browser would, until there are so many. */
async function eventsOf(response: Response, count: number): Promise<readonly string[]> {
  let text = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    const events = text.split('\n\n').slice(0, -1)
    if (events.length >= count) return events.slice(0, count)
  }
  throw new Error(`the stream ended after ${text}`)
}

describe('a stream', () => {
  it('tells all who watch what it saw, one event after the other', async () => {
    let looks = 0
    const url = await serve(async () => ({ look: ++looks }))

    const responses = await Promise.all([fetch(`${url}/stream`), fetch(`${url}/stream`)])
    const [first, second] = await Promise.all(responses.map((response) => eventsOf(response, 3)))

    expect(responses[0]?.headers.get('content-type')).toBe('text/event-stream')
    expect(responses[0]?.headers.get('x-correlation-id')).toMatch(/./)
    expect(first?.[0]).toMatch(/^event: quotes\ndata: \{"look":\d+\}$/)
    const numbers = (first ?? []).map((event) => Number(/\d+/.exec(event)?.[0]))
    expect(numbers).toEqual([numbers[0], (numbers[0] ?? 0) + 1, (numbers[0] ?? 0) + 2])
    expect(second).toHaveLength(3)
  })

  it('answers at once, however long the first look takes', async () => {
    const url = await serve(() => new Promise(() => {}))

    const { status, body } = await fetch(`${url}/stream`)
    await body?.cancel()

    expect(status).toBe(200)
  })

  it('leaves out a look that fails, and goes on', async () => {
    let looks = 0
    const url = await serve(async () => {
      if (++looks === 2) throw new Error('the database is away')
      return looks
    })

    const events = await eventsOf(await fetch(`${url}/stream`), 3)

    expect(events).toEqual(['event: quotes\ndata: 1', ': nothing to be seen', 'event: quotes\ndata: 3'])
  })

  it('looks at nothing while nobody watches, and again for the next who does', async () => {
    const looks: (() => void)[] = []
    const url = await serve(() => new Promise((resolve) => looks.push(() => resolve(looks.length))))
    const left = new Promise((resolve) => watcherLeft.once('left', resolve))
    const { body } = await fetch(`${url}/stream`)
    await expect.poll(() => looks.length).toBe(1)
    await Promise.all([body?.cancel(), left])

    // Nobody watches when this look ends. Timers of one length end in the order in which they began: the stream's would be first.
    looks[0]?.()
    await new Promise(setImmediate)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
    expect(looks).toHaveLength(1)
    const returned = fetch(`${url}/stream`)
    await expect.poll(() => looks.length).toBe(2)
    looks[1]?.()

    expect(await eventsOf(await returned, 1)).toEqual(['event: quotes\ndata: 2'])
  })

  it('cuts off a watcher who does not read, and no other', async () => {
    const url = new URL(await serve(async () => 'x'.repeat(400_000)))
    const connected = once(app.server, 'connection') as Promise<[Socket]>
    const deaf = connect(Number(url.port), url.hostname).pause()
    const [socket] = await connected
    const cutOff = once(socket, 'close')
    deaf.write('GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n')
    // Reads on and on, and learns by it that the other one was cut off.
    const reading = await fetch(new URL('/stream', url))
    const gone = await Promise.race([eventsOf(reading, 1_000), cutOff])
    deaf.destroy()

    expect(gone).toEqual([false])
  })
})
