import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AmbiguousJson, canonicalJson } from '../src/http/canonical-json.ts'

describe('canonical JSON', () => {
  it('42. the example of RFC 8785 comes out as printed there', () => {
    const text = `{ "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/", "literals": [null, true, false] }`

    expect(canonicalJson(text, 'any')).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    )
  })

  it('42. names are sorted by UTF-16 code units as in RFC 8785', () => {
    const text = '{"\\u20ac":1,"\\r":2,"\\ufb33":3,"1":4,"\\ud83d\\ude00":5,"\\u0080":6,"\\u00f6":7}'

    expect(Object.keys(JSON.parse(canonicalJson(text)))).toEqual(['1', '\r', '\u0080', 'ö', '€', '😀', '\ufb33'])
    expect(canonicalJson(text).indexOf('€')).toBeLessThan(canonicalJson(text).indexOf('😀'))
  })

  it.each([
    ['{"b":1,"a":2}', ' { "a" : 2 ,\n"b":1.0 } '],
    ['"a"', '"\\u0061"'],
    ['0', '-0'],
    ['100', '1e2'],
    ['0.1', '1.0e-1'],
  ])('42. %s and %s are the same', (one, other) => {
    expect(canonicalJson(one)).toBe(canonicalJson(other))
  })

  it.each([
    ['[1,2]', '[2,1]'],
    ['{"a":null}', '{}'],
    ['"1"', '1'],
  ])('42. %s and %s differ', (one, other) => {
    expect(canonicalJson(one)).not.toBe(canonicalJson(other))
  })

  it.each([
    ['9007199254740993', 'a number cannot be carried exactly'],
    ['9007199254740994', 'a number cannot be carried exactly'],
    ['0.12345678901234567890', 'a number cannot be carried exactly'],
    ['1e400', 'a number is too large'],
    ['{"a":1,"\\u0061":2}', 'a name is repeated'],
    ['"\\ud800"', 'a string is no Unicode text'],
    ['"\\x"', 'an escape is broken'],
    ['"a\nb"', 'a string is broken'],
    ['"open', 'a string is broken'],
    ['[1,]', 'a value is missing'],
    ['{"a":1,}', 'a name is missing'],
    ['[1 2]', '"," is missing'],
    ['01', 'something follows the value'],
    ['', 'a value is missing'],
    ['['.repeat(300), 'the nesting is too deep'],
  ])('42. %s is refused: %s', (text, rule) => {
    expect(() => canonicalJson(text)).toThrow(AmbiguousJson)
    expect(() => canonicalJson(text)).toThrow(rule)
  })

  it('reads what JSON.parse reads, for any value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(JSON.stringify(value), 'any'))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  it('does not depend on the order of names at any depth', () => {
    const reversed = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(reversed)
        : typeof value === 'object' && value !== null
          ? Object.fromEntries(
              Object.entries(value)
                .toReversed()
                .map(([name, member]) => [name, reversed(member)]),
            )
          : value

    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        expect(canonicalJson(JSON.stringify(reversed(value)), 'any')).toBe(canonicalJson(JSON.stringify(value), 'any'))
      }),
    )
  })
})
