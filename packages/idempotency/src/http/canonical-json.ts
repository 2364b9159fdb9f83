/** The text is no JSON, or JSON that two receivers may read differently. The message names the rule, never a value. */
export class AmbiguousJson extends Error {
  override readonly name = 'AmbiguousJson'
}

const maxDepth = 200
const quote = 0x22
const backslash = 0x5c
const zero = 0x30
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
 * @param ignored - members that are left out, as paths of names joined by dots; arrays are passed through
 * @param numbers - `exact` refuses a number that a double cannot carry; `any` rounds it as RFC 8785 does
 * @throws AmbiguousJson for what is no JSON, a repeated name, a number a double would change, a lone surrogate, or more
 *   than 200 levels
 */
export function canonicalJson(
  text: string,
  numbers: 'exact' | 'any' = 'exact',
  ignored: ReadonlySet<string> = new Set(),
): string {
  return new JsonText(text, numbers, ignored).canonical()
}

/** A text being read, from left to right. */
class JsonText {
  readonly #text: string
  readonly #numbers: 'exact' | 'any'
  readonly #ignored: ReadonlySet<string>
  #at = 0

  constructor(text: string, numbers: 'exact' | 'any', ignored: ReadonlySet<string>) {
    this.#text = text
    this.#ignored = ignored
    this.#numbers = numbers
  }

  canonical(): string {
    const result = this.#value(0, '')
    this.#space()
    if (this.#at < this.#text.length) this.#fail('something follows the value')
    return result
  }

  #fail(rule: string): never {
    throw new AmbiguousJson(`${rule} at character ${String(this.#at)}`)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    this.#at += found?.length ?? 0
    return found
  }

  #space(): void {
    this.#match(/[ \t\n\r]*/y)
  }

  #expect(character: string): void {
    if (this.#text[this.#at] !== character) this.#fail(`"${character}" is missing`)
    this.#at++
  }

  #value(depth: number, path: string): string {
    if (depth > maxDepth) this.#fail('the nesting is too deep')
    this.#space()
    const start = this.#text[this.#at]
    if (start === '{') return this.#object(depth, path)
    if (start === '[') return this.#array(depth, path)
    if (start === '"') return JSON.stringify(this.#string())
    const literal = this.#match(/true|false|null/y)
    if (literal !== undefined) return literal
    return this.#number(this.#match(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y) ?? this.#fail('a value is missing'))
  }

  #object(depth: number, path: string): string {
    const members = new Map<string, string>()
    this.#list('{', '}', () => {
      this.#space()
      const name = this.#text[this.#at] === '"' ? this.#string() : this.#fail('a name is missing')
      if (members.has(name)) this.#fail('a name is repeated')
      this.#space()
      this.#expect(':')
      // A path is only put together where somebody asks for paths: it grows with the depth.
      const inside = this.#ignored.size === 0 ? '' : path === '' ? name : `${path}.${name}`
      members.set(name, this.#value(depth + 1, inside))
    })
    // JavaScript compares strings by UTF-16 code units, which is the order RFC 8785 asks for.
    const counted = [...members.keys()].filter((name) => !this.#isIgnored(path, name))
    const names = counted.sort((a, b) => (a < b ? -1 : 1))
    let text = ''
    for (const name of names) text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${members.get(name) as string}`
    return `{${text}}`
  }

  #isIgnored(path: string, name: string): boolean {
    return this.#ignored.size > 0 && this.#ignored.has(path === '' ? name : `${path}.${name}`)
  }

  #array(depth: number, path: string): string {
    // Put together by `+`, which copies nothing: `join` would copy the innermost value once for each level around it.
    let text = ''
    let comma = ''
    this.#list('[', ']', () => {
      text += comma + this.#value(depth + 1, path)
      comma = ','
    })
    return `[${text}]`
  }

  #list(open: string, close: string, item: () => void): void {
    this.#expect(open)
    this.#space()
    if (this.#text[this.#at] === close) return void this.#at++
    for (;;) {
      item()
      this.#space()
      if (this.#text[this.#at] === close) return void this.#at++
      this.#expect(',')
    }
  }

  #string(): string {
    const start = ++this.#at
    for (let code = this.#text.charCodeAt(start); code !== quote; code = this.#text.charCodeAt(this.#at)) {
      if (!(code >= 0x20)) this.#fail('a string is broken')
      this.#at += code === backslash ? 2 : 1
    }
    const source = this.#text.slice(start, this.#at++)
    const plain = source.replaceAll(/\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt])|)/g, (_, code?: string, short?: string) => {
      if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16))
      return escapes[short ?? this.#fail('an escape is broken')] as string
    })
    if (!plain.isWellFormed()) this.#fail('a string is no Unicode text')
    return plain
  }

  #number(literal: string): string {
    const number = Number(literal)
    if (!Number.isFinite(number)) this.#fail('a number is too large')
    const canonical = Object.is(number, -0) ? '0' : String(number)
    if (this.#numbers === 'exact' && !isExact(literal, number, canonical))
      this.#fail('a number cannot be carried exactly')
    return canonical
  }
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
  const digits = whole + fraction
  // By hand: the pattern /0+$/ looks again from every zero of a run, which takes a time that grows with its square.
  let start = 0
  while (digits.charCodeAt(start) === zero) start++
  let end = digits.length
  while (end > start && digits.charCodeAt(end - 1) === zero) end--
  const significant = digits.slice(start, end)
  if (significant === '') return '0'
  const power = Number(exponent) - fraction.length + (digits.length - end)
  return `${mantissa.startsWith('-') ? '-' : ''}${significant}e${String(power)}`
}
