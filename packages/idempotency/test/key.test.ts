import { propertyRuns } from '@malote/testing/property-scale'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type KeyFormat, parseKey } from '../src/http/key.ts'
import { openApiFragments } from '../src/http/openapi.ts'
import { createScopeHasher } from '../src/http/scope.ts'

const lenient: KeyFormat = { syntax: 'lenient', minLength: 16, maxLength: 255 }
const key = '0b1f7a52-6d0e-4b6f'

describe('the Idempotency-Key header', () => {
  it('41. a quoted and a bare value are the same key', () => {
    expect(parseKey([`"${key}"`], lenient)).toEqual({ kind: 'key', key })
    expect(parseKey([` ${key}\t`], lenient)).toEqual({ kind: 'key', key })
  })

  it('41. an escaped quote and backslash are unescaped', () => {
    expect(parseKey([String.raw`"0123456789abcdef\"\\"`], lenient)).toEqual({ kind: 'key', key: '0123456789abcdef"\\' })
  })

  it.each([
    ['empty', ['']],
    ['quoted and empty', ['""']],
    ['shorter than the minimum', ['"0123456789abcde"']],
    ['longer than 255', [`"${'k'.repeat(256)}"`]],
    ['a control character', [`"${key}\u0007"`]],
    ['a space inside', [`"${key} ${key}"`]],
    ['a list', [`"${key}", "${key}"`]],
    ['a bare list', [`${key},${key}`]],
    ['sent twice', [key, key]],
    ['a parameter', [`"${key}";p=1`]],
    ['a bare parameter', [`${key};p=1`]],
    ['an unterminated quote', [`"${key}`]],
    ['an unknown escape', [String.raw`"${key}\n"`]],
    ['other than ASCII', [`"${key}ç"`]],
  ])('41. %s is malformed', (_, values) => {
    expect(parseKey(values, lenient).kind).toBe('malformed')
  })

  it('41. an absent header is missing, not malformed', () => {
    expect(parseKey([], lenient)).toEqual({ kind: 'missing' })
  })

  it('41. strict syntax refuses a bare value', () => {
    expect(parseKey([key], { ...lenient, syntax: 'strict' }).kind).toBe('malformed')
    expect(parseKey([`"${key}"`], { ...lenient, syntax: 'strict' }).kind).toBe('key')
  })

  it('41. whatever is sent is a key of visible ASCII within its lengths, or malformed, and OpenAPI says the same', () => {
    const piece = fc.oneof(fc.string({ unit: 'binary', maxLength: 6 }), fc.constantFrom(key, '"', '\\', ',', ';', '\t'))
    const value = fc.array(piece, { maxLength: 5 }).map((pieces) => pieces.join(''))
    const described = new RegExp((openApiFragments().parameter['schema'] as { pattern: string }).pattern, 'u')
    let keys = 0
    fc.assert(
      fc.property(
        fc.oneof(
          value,
          value.map((one) => `"${one}"`),
        ),
        (sent) => {
          const parsed = parseKey([sent], lenient)
          if (parsed.kind === 'key') keys++
          // Space around a value is HTTP's, and gone before anybody reads it.
          if (sent === sent.trim()) expect(described.test(sent)).toBe(parsed.kind === 'key')
          return parsed.kind === 'malformed' || (parsed.kind === 'key' && /^[\x21-\x7e]{16,255}$/.test(parsed.key))
        },
      ),
      { numRuns: propertyRuns(1_000) },
    )
    expect(keys).toBeGreaterThan(10)
  })

  it('41. what is quoted is what is read', () => {
    const visible = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code))
    fc.assert(
      fc.property(fc.string({ unit: visible, minLength: 16, maxLength: 255 }), (any) => {
        expect(parseKey([`"${any.replaceAll(/["\\]/g, '\\$&')}"`], lenient)).toEqual({ kind: 'key', key: any })
      }),
      { numRuns: propertyRuns(1_000) },
    )
  })
})

describe('what is stored of a key', () => {
  const hasher = createScopeHasher(Buffer.from('a pepper of at least 16 bytes'))

  it('is found again by the releases before and after', () => {
    const scope = { tenant: 'acme', subject: '李', operation: '' }
    const [keyHash] = hasher.keyHashes(scope, '0f8fad5b-d9cb-469f-a165-70867728950e')
    const [subjectHash] = hasher.subjectHashes('acme', '李')

    expect([keyHash, subjectHash].map((hash) => hash.toString('hex'))).toEqual([
      'feb708d4a82ac2cef33930b22b16a1ffb8ca467504632d736df9c799928d0114',
      '7f2ff3b63334250718e455b6dd1070963dc6e96d0be25eb42d9fe80b404a4a82',
    ])
  })
})
