/** The text is no JSON, or JSON that two receivers may read differently. The message names the rule, never a value. */
export class AmbiguousJson extends Error {
  override readonly name = 'AmbiguousJson'
}

const maxDepth = 200
const quote = 0x22
const backslash = 0x5c
const escapes: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  '"': '"',
  '\\': '\\',
  '/': '/',
}

/**
 * Rewrites JSON text in the canonical form of RFC 8785 (JCS), reading the text itself: `JSON.parse` would already have
 * merged 9007199254740993 with 9007199254740992 and dropped the first of two equal names, and with them a difference in
 * an amount.
 *
 * @param numbers - `exact` refuses a number that a double cannot carry; `any` rounds it as RFC 8785 does
 * @throws AmbiguousJson for what is no JSON, a repeated name, a number a double would change, a lone surrogate, or more
 *   than 200 levels
 */
export function canonicalJson(text: string, numbers: 'exact' | 'any' = 'exact'): string {
  let at = 0

  const fail = (rule: string): never => {
    throw new AmbiguousJson(`${rule} at character ${String(at)}`)
  }
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    at += found?.length ?? 0
    return found
  }
  const space = (): void => void match(/[ \t\n\r]*/y)
  const expect = (character: string): void => {
    if (text[at] !== character) fail(`"${character}" is missing`)
    at++
  }

  function value(depth: number): string {
    if (depth > maxDepth) fail('the nesting is too deep')
    space()
    const start = text[at]
    if (start === '{') return object(depth)
    if (start === '[') return array(depth)
    if (start === '"') return JSON.stringify(string())
    return (
      match(/true|false|null/y) ??
      canonicalNumber(match(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y) ?? fail('a value is missing'))
    )
  }

  function object(depth: number): string {
    const members = new Map<string, string>()
    list('{', '}', () => {
      space()
      const name = text[at] === '"' ? string() : fail('a name is missing')
      if (members.has(name)) fail('a name is repeated')
      space()
      expect(':')
      members.set(name, value(depth + 1))
    })
    // JavaScript compares strings by UTF-16 code units, which is the order RFC 8785 asks for.
    const names = [...members.keys()].sort((a, b) => (a < b ? -1 : 1))
    return `{${names.map((name) => `${JSON.stringify(name)}:${members.get(name) as string}`).join(',')}}`
  }

  function array(depth: number): string {
    const items: string[] = []
    list('[', ']', () => items.push(value(depth + 1)))
    return `[${items.join(',')}]`
  }

  function list(open: string, close: string, item: () => void): void {
    expect(open)
    space()
    if (text[at] === close) return void at++
    for (;;) {
      item()
      space()
      if (text[at] === close) return void at++
      expect(',')
    }
  }

  function string(): string {
    const start = ++at
    for (let code = text.charCodeAt(at); code !== quote; code = text.charCodeAt(at)) {
      if (!(code >= 0x20)) fail('a string is broken')
      at += code === backslash ? 2 : 1
    }
    const plain = text.slice(start, at++).replaceAll(/\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt])|)/g, unescape)
    if (!plain.isWellFormed()) fail('a string is no Unicode text')
    return plain
  }

  function unescape(_: string, code: string | undefined, short: string | undefined): string {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16))
    return escapes[short ?? fail('an escape is broken')] as string
  }

  function canonicalNumber(literal: string): string {
    const number = Number(literal)
    if (!Number.isFinite(number)) fail('a number is too large')
    const canonical = Object.is(number, -0) ? '0' : String(number)
    if (numbers === 'exact' && !isExact(literal, number, canonical)) fail('a number cannot be carried exactly')
    return canonical
  }

  const result = value(0)
  space()
  if (at < text.length) fail('something follows the value')
  return result
}

/** Whether a receiver that uses doubles sees the number that was written. */
function isExact(literal: string, number: number, canonical: string): boolean {
  if (/^-?\d+$/.test(literal) && !Number.isSafeInteger(number)) return false
  return decimal(literal) === decimal(canonical)
}

/** A decimal literal as `digits e exponent` without leading or trailing zeros: equal exactly when the values are. */
function decimal(literal: string): string {
  const [mantissa = '', exponent = '0'] = literal.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace(/^-/, '').split('.')
  const digits = (whole + fraction).replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  if (significant === '') return '0'
  const power = Number(exponent) - fraction.length + (digits.length - significant.length)
  return `${mantissa.startsWith('-') ? '-' : ''}${significant}e${String(power)}`
}
