import { createSecretKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { canonicalJson } from '../src/http/canonical-json.ts'
import { releasedFingerprints } from '../src/http/fingerprint.ts'
import { parseKey } from '../src/http/key.ts'

/** Texts made to be slow: each grows with `n` and stays valid or not, it does not matter. */
const texts: Readonly<Record<string, (n: number) => string>> = {
  'a number of zeros between two ones': (n) => `1${'0'.repeat(n)}1`,
  'a fraction of zeros between two ones': (n) => `1.${'0'.repeat(n)}1`,
  'a number of nines': (n) => '9'.repeat(n),
  'a small number with many zeros': (n) => `0.${'0'.repeat(n)}e${'0'.repeat(n)}`,
  'an exponent of many digits': (n) => `1e${'9'.repeat(n)}`,
  'a number that ends in a letter': (n) => `${'1'.repeat(n)}x`,
  'white space alone': (n) => ' '.repeat(n),
  'white space before a mistake': (n) => `[1${' '.repeat(n)}x]`,
  'a string of backslashes': (n) => `"${'\\'.repeat(n)}`,
  'a string of escapes': (n) => `"${'\\u0061'.repeat(n / 6)}"`,
  'a string that does not end': (n) => `"${'a'.repeat(n)}`,
  'many names with one beginning': (n) =>
    `{${Array.from({ length: n / 120 }, (_, at) => `"${'p'.repeat(100)}${String(at)}":1`).join(',')}}`,
  'many short names': (n) => `{${Array.from({ length: n / 12 }, (_, at) => `"${String(n - at)}":1`).join(',')}}`,
  'many numbers': (n) => `[${Array.from({ length: n / 2 }, () => '1').join(',')}]`,
  'one long value under many levels': (n) => `${'[1,'.repeat(190)}"${'a'.repeat(n)}"${']'.repeat(190)}`,
  'many levels': (n) => '['.repeat(n),
}

const secret = createSecretKey(Buffer.alloc(32))

/** What the work takes of the processor, in milliseconds: how many others want it does not count. */
const ran = (work: () => unknown): number => {
  const before = process.cpuUsage()
  try {
    work()
  } catch {
    // Refused is as good as read: only the time counts.
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1_000
}

/** The best of three: a collection of garbage may fall into one of them. */
const timeOf = (work: () => unknown): number => Math.min(ran(work), ran(work), ran(work))

/** Half a megabyte, at fifty times the speed a slow machine needs: what grows with the square of its size takes minutes. */
const size = 400_000
const boundMs = 1_000

describe('reading hostile text takes a time in proportion to its size', () => {
  it.each(Object.keys(texts))('%s', (name) => {
    const text = (texts[name] as (n: number) => string)(size)

    expect(timeOf(() => canonicalJson(text))).toBeLessThan(boundMs)
    expect(timeOf(() => canonicalJson(text, 'any'))).toBeLessThan(boundMs)
  })

  it.each([
    ['white space inside', (n: number) => `k${' '.repeat(n)}k`],
    ['tabs', (n: number) => '\t'.repeat(n)],
    ['a quote and backslashes', (n: number) => `"${'\\'.repeat(n)}`],
    ['quotes', (n: number) => '"'.repeat(n)],
  ])('a key of %s', (_, text) => {
    const format = { syntax: 'lenient', minLength: 16, maxLength: 255 } as const

    expect(timeOf(() => parseKey([text(size)], format))).toBeLessThan(boundMs)
  })

  it.each([
    ['a content type of semicolons', `multipart/form-data${';'.repeat(size)}`, '/', ''],
    ['a content type of spaces', `multipart/form-data;${' '.repeat(size)}x`, '/', ''],
    ['a body of boundaries', 'multipart/form-data; boundary=-', '/', '-'.repeat(size)],
    // Node.js refuses more than 16 kB of it.
    ['a query of many names', 'text/plain', `/?${'a&'.repeat(16_000)}`, ''],
    ['a path of dots', 'text/plain', `/${'../'.repeat(10_000)}`, ''],
  ])('%s', (_, contentType, url, body) => {
    for (const rule of releasedFingerprints.byVersion.values()) {
      const request = {
        method: 'POST',
        url,
        headers: (name: string) => (name === 'content-type' ? [contentType] : []),
        body: Buffer.from(body),
      }

      expect(timeOf(() => rule(request, { body: 'jcs' }, secret))).toBeLessThan(boundMs)
    }
  })
})
