import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { expect, it, onTestFinished } from 'vitest'
import { captureResponse } from '../src/frameworks/captured-response.ts'
import type { HandlerResponse, HttpResponse } from '../src/http/http.ts'

interface Received {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: Buffer
}

/** What a client gets of what `write` writes, and what was captured of it. @param answer - sent in its place */
async function capturing(
  write: (response: ServerResponse) => void,
  answer?: HttpResponse,
  before: (response: ServerResponse) => void = () => {},
): Promise<{ readonly written: HandlerResponse | Error; readonly received: Received }> {
  const captured = Promise.withResolvers<HandlerResponse | Error>()
  const received = await receive(async (response) => {
    before(response)
    const capture = captureResponse(response)
    write(response)
    const written = await capture.written.catch((error: unknown) => error as Error)
    captured.resolve(written)
    const own = written as HandlerResponse
    await capture.send(answer ?? { status: own.status, headers: {}, body: own.body as Uint8Array })
    if (!response.writableEnded) await once(response, 'finish')
    // A handler that is late.
    response.setHeader('x-late', 'yes')
    response.end('late')
  })
  return { written: await captured.promise, received }
}

async function receive(listen: (response: ServerResponse) => unknown): Promise<Received> {
  const server = createServer((_request, response) => void listen(response)).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const sent = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent: false }).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(await response.toArray()) }
}

it('takes a response in pieces, by its head, and by a stream', async () => {
  const pieces = await capturing((response) => {
    response.writeHead(201, 'Made', { 'X-One': '1' })
    response.write('a')
    response.write(Buffer.from('b'), () => response.end('63', 'hex'))
  })
  const streamed = await capturing((response) => Readable.from(['x', 'y']).pipe(response))
  const flat = await capturing((response) => response.writeHead(202, ['x-two', '2', 'x-two', '3']).end())

  expect(pieces.written).toMatchObject({ status: 201, headers: { 'x-one': '1' }, body: Buffer.from('abc') })
  expect([pieces.received.body.toString(), pieces.received.headers['x-one']]).toEqual(['abc', '1'])
  expect([streamed.written, streamed.received.body.toString()]).toMatchObject([{ body: Buffer.from('xy') }, 'xy'])
  expect(flat.written).toMatchObject({ status: 202, headers: { 'x-two': '2, 3' }, body: null })
})

it('looks sent to those who ask, and takes no second response', async () => {
  const seen: boolean[] = []
  const { received } = await capturing((response) => {
    seen.push(response.headersSent, response.writableEnded)
    response.end('first')
    seen.push(response.headersSent, response.writableEnded)
    response.statusCode = 500
    response.setHeader('x-second', 'yes')
    response.end('second')
  })

  expect(seen).toEqual([false, false, true, true])
  expect([received.status, received.body.toString(), received.headers['x-second']]).toEqual([200, 'first', undefined])
})

it('sends another answer with the headers that were there before, and none of those that were written', async () => {
  const answer = { status: 503, headers: { 'content-type': 'text/plain' }, body: Buffer.from('later') }

  const { received } = await capturing(
    (response) => {
      response.setHeader('x-secret', 'yes')
      response.writeHead(200, 'Fine').end('secret')
    },
    answer,
    (response) => response.setHeader('access-control-allow-origin', '*'),
  )

  expect([received.status, received.body.toString()]).toEqual([503, 'later'])
  expect(received.headers).toMatchObject({ 'access-control-allow-origin': '*', 'content-type': 'text/plain' })
  expect(received.headers).not.toHaveProperty('x-secret')
  expect(received.headers).not.toHaveProperty('x-late')
})

it('is seen by what was wrapped around the response before, and only when it is sent', async () => {
  const order: string[] = []
  await capturing(
    (response) => {
      response.end('x')
      order.push('written')
    },
    undefined,
    (response) => {
      const end = response.end.bind(response)
      // As session libraries do: something is saved, then the response ends.
      response.end = ((chunk: string) => {
        order.push('ended')
        setImmediate(() => {
          response.setHeader('set-cookie', 'saved=1')
          end(chunk)
        })
        return response
      }) as never
    },
  ).then(({ received }) => order.push(String(received.headers['set-cookie'])))

  expect(order).toEqual(['written', 'ended', 'saved=1'])
})

it('takes off a coding to store the body, and sends it as it was', async () => {
  const compressed = gzipSync('text')
  const coded = (coding: string) => (response: ServerResponse) => {
    response.setHeader('content-encoding', coding)
    response.end(compressed)
  }

  const { written, received } = await capturing(coded('gzip'))
  const unknown = await capturing(coded('x-unknown'), { status: 500, headers: {}, body: null })
  const broken = await capturing(coded('br'), { status: 500, headers: {}, body: null })

  expect(written).toMatchObject({ body: Buffer.from('text') })
  expect((written as HandlerResponse).headers).not.toHaveProperty('content-encoding')
  expect([received.body, received.headers['content-encoding']]).toEqual([compressed, 'gzip'])
  expect([unknown.written, broken.written]).toMatchObject([{ code: 'INVALID_RESPONSE' }, { code: 'INVALID_RESPONSE' }])
  expect(unknown.received).toMatchObject({ status: 500, body: Buffer.alloc(0) })
})

it('fails when the response is destroyed before it is whole', async () => {
  const { written, received } = await capturing(
    (response) => {
      response.write('half')
      response.destroy(new Error('the source broke'))
    },
    { status: 500, headers: {}, body: null },
  )

  expect(written).toMatchObject({ message: 'the source broke' })
  expect(received).toMatchObject({ status: 500, body: Buffer.alloc(0) })
})

it('gives the response back as it was found', async () => {
  const received = await receive((response) => {
    response.setHeader('x-before', 'yes')
    const capture = captureResponse(response)
    response.writeHead(500, { 'x-written': 'yes' })
    capture.restore()
    response.end('mine')
  })

  expect([received.status, received.body.toString()]).toEqual([200, 'mine'])
  expect(received.headers).toMatchObject({ 'x-before': 'yes' })
  expect(received.headers).not.toHaveProperty('x-written')
})
