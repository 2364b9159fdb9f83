import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { decodeBody } from '../src/http/content-coding.ts'

const text = Buffer.from('{"amount":1}')

it.each([
  ['gzip', gzipSync(text)],
  ['x-gzip', gzipSync(text)],
  [' GZIP ', gzipSync(text)],
  ['deflate', deflateSync(text)],
  ['br', brotliCompressSync(text)],
])('takes %s off', async (coding, body) => {
  expect(await decodeBody(body, coding, 100)).toEqual(text)
})

it('inflates no more than the limit, to the byte', async () => {
  const body = gzipSync(text)

  expect(await decodeBody(body, 'gzip', text.length)).toEqual(text)
  expect(await decodeBody(body, 'gzip', text.length - 1)).toBe('too-large')
  expect(await decodeBody(gzipSync(Buffer.alloc(1_000_000)), 'gzip', 1_000)).toBe('too-large')
})

it('leaves what it does not know as it is, and says what is not what it claims to be', async () => {
  const body = gzipSync(text)

  expect(await decodeBody(body, 'gzip, br', 100)).toBe(body)
  expect(await decodeBody(text, 'identity', 1)).toBe(text)
  expect(await decodeBody(text, 'gzip', 100)).toBe('broken')
})
