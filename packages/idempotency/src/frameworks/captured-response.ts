import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { HandlerResponse, HttpResponse } from '../http/http.ts'
import { isAsWritten, toHandlerResponse, type WrittenResponse } from './written-response.ts'

/** A response that is written to as usual, and sent when it is decided what is sent. */
export interface CapturedResponse {
  /** What was written, once it is whole. Rejects when the response was destroyed, or is in a coding nobody knows. */
  readonly written: Promise<HandlerResponse>
  /** Sends what was written if that is the answer, or the answer in its place. What is written later is dropped. */
  send(answer: HttpResponse): Promise<void>
  /** Gives the response back as it was found. */
  restore(): void
}

type Callback = () => void

/**
 * Stands between a framework and a response of Node.js. Whoever wrapped the response before, to compress it or to save a
 * session, sees it when it is sent; whoever wraps it later sees it when it is written.
 *
 * @param ownHeaders - headers that a framework keeps beside the response until it sends it
 */
export function captureResponse(response: ServerResponse, ownHeaders: OutgoingHttpHeaders = {}): CapturedResponse {
  const found = { status: response.statusCode, headers: { ...response.getHeaders(), ...ownHeaders } }
  const done = Promise.withResolvers<WrittenResponse>()
  const restoreMethods = replaceMethods(response, writingInto(response, done))
  // A late write, or one to a client that is gone, would be an error that nobody listens to.
  response.on('error', ignore)
  const written = done.promise.then(toHandlerResponse)
  let handled: HandlerResponse | undefined
  written.then((response) => (handled = response)).catch(ignore)

  function reset(status: number, headers: WrittenResponse['headers']): void {
    restoreMethods()
    for (const name of response.getHeaderNames()) response.removeHeader(name)
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value)
    response.statusCode = status
  }

  return {
    written,
    send: async (answer) => {
      if (handled !== undefined && isAsWritten(answer, handled)) {
        const { status, headers, body } = await done.promise
        reset(status, headers)
        response.end(body ?? undefined)
      } else {
        reset(answer.status, { ...found.headers, ...answer.headers })
        response.statusMessage = ''
        response.end(answer.body ?? undefined)
      }
      // Not while something that was wrapped around the response is still about to end it.
      const drop = (): unknown => replaceMethods(response, droppingAll(response))
      if (response.writableEnded) drop()
      else response.once('finish', drop)
    },
    restore: () => reset(found.status, found.headers),
  }
}

function ignore(): undefined {}

/** Methods and properties of a response, put in the place of its own. */
type Replacement = PropertyDescriptorMap

/** @returns what puts back what was there */
function replaceMethods(response: ServerResponse, replacement: Replacement): () => void {
  const before = Object.keys(replacement).map(
    (name) => [name, Object.getOwnPropertyDescriptor(response, name)] as const,
  )
  Object.defineProperties(response, replacement)
  return () => {
    for (const [name, descriptor] of before)
      if (descriptor === undefined) Reflect.deleteProperty(response, name)
      else Object.defineProperty(response, name, descriptor)
  }
}

function method(value: (...given: never[]) => unknown): PropertyDescriptor {
  return { value, configurable: true, writable: true }
}

function getter(get: () => unknown): PropertyDescriptor {
  return { get, configurable: true }
}

/** Collects what is written. Frameworks look at `headersSent` and `writableEnded` to know how far they have come. */
function writingInto(response: ServerResponse, done: PromiseWithResolvers<WrittenResponse>): Replacement {
  const chunks: Buffer[] = []
  let hasBegun = false
  let hasEnded = false

  function take(chunk: unknown, encoding: unknown): void {
    if (hasEnded || chunk === null || chunk === undefined || typeof chunk === 'function') return
    chunks.push(typeof chunk === 'string' ? Buffer.from(chunk, encodingOf(encoding)) : Buffer.from(chunk as Uint8Array))
  }

  return {
    headersSent: getter(() => hasBegun),
    writableEnded: getter(() => hasEnded),
    flushHeaders: method(() => void (hasBegun = true)),
    writeHead: method((status: number, ...more: unknown[]) => {
      if (!hasBegun) takeHead(response, status, more)
      hasBegun = true
      return response
    }),
    write: method((chunk: unknown, ...more: unknown[]) => {
      take(chunk, more[0])
      hasBegun = true
      queueMicrotask(callbackOf(more) ?? ignore)
      return true
    }),
    end: method((...given: unknown[]) => {
      const whenSent = callbackOf(given)
      if (whenSent !== undefined) response.once('finish', whenSent)
      take(given[0], given[1])
      const { statusCode: status } = response
      const body = chunks.length === 0 || [204, 205, 304].includes(status) ? null : Buffer.concat(chunks)
      if (!hasEnded) done.resolve({ status, headers: { ...response.getHeaders() }, body })
      hasBegun = hasEnded = true
      return response
    }),
    destroy: method((error?: Error) => {
      done.reject(error ?? new Error('the response was destroyed before it was whole'))
      return response
    }),
  }
}

function takeHead(response: ServerResponse, status: number, more: readonly unknown[]): void {
  response.statusCode = status
  const [first] = more
  if (typeof first === 'string') response.statusMessage = first
  const headers = typeof first === 'string' ? more[1] : first
  if (Array.isArray(headers)) {
    const pairs = Array.isArray(headers[0]) ? (headers as [string, string][]) : inPairs(headers as string[])
    for (const [name, value] of pairs) response.appendHeader(name, value)
  } else
    for (const [name, value] of Object.entries((headers ?? {}) as OutgoingHttpHeaders))
      if (value !== undefined) response.setHeader(name, value)
}

function inPairs(flat: readonly string[]): [string, string][] {
  return flat.flatMap((name, at) => (at % 2 === 0 ? [[name, String(flat[at + 1])] as [string, string]] : []))
}

/** After the answer was sent: a handler that is late, or a framework that is told it has nothing to send, writes to nobody. */
function droppingAll(response: ServerResponse): Replacement {
  const nothing = method(() => response)
  return {
    setHeader: nothing,
    appendHeader: nothing,
    removeHeader: method(ignore),
    flushHeaders: method(ignore),
    writeHead: nothing,
    write: method((...given: unknown[]) => {
      queueMicrotask(callbackOf(given) ?? ignore)
      return true
    }),
    end: method((...given: unknown[]) => {
      queueMicrotask(callbackOf(given) ?? ignore)
      return response
    }),
  }
}

function callbackOf(given: readonly unknown[]): Callback | undefined {
  return given.find((one) => typeof one === 'function') as Callback | undefined
}

function encodingOf(given: unknown): BufferEncoding {
  return typeof given === 'string' ? (given as BufferEncoding) : 'utf8'
}
