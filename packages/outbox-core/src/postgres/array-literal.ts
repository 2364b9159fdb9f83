/** Arrays of texts as PostgreSQL writes and reads them. Of many texts it costs less than having the driver escape each. */

/** The elements without the braces. */
export function elements(texts: Iterable<string>): string {
  return Array.from(texts, (text) => `"${/["\\]/u.test(text) ? text.replaceAll(/["\\]/gu, '\\$&') : text}"`).join(',')
}

/** The array of all these elements. Each part may hold many of them, or none. */
export function arrayLiteral(parts: readonly string[]): string {
  return `{${parts.filter((part) => part !== '').join(',')}}`
}

/** The texts of an array that PostgreSQL wrote with each of them in quotes, as it does where they hold a line break. */
export function textsOf(literal: string): string[] {
  if (literal === '{}') return []
  if (!literal.includes('\\')) return literal.slice(2, -2).split('","')
  return Array.from(literal.matchAll(/"((?:[^"\\]|\\.)*)"/gsu), ([, text = '']) => text.replaceAll(/\\(.)/gsu, '$1'))
}
