import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../../', import.meta.url)

/** A code block of a page, and the code it must show. */
export interface SnippetBlock {
  readonly page: string
  readonly line: number
  readonly language: string
  readonly text: string
  /** `file.ts` or `file.ts#region`, from the comment above the block; undefined when there is none. */
  readonly source: string | undefined
}

const block = /(?:<!-- snippet: (\S+) -->\n)?^```(\w*)\n([\s\S]*?)^```$/gm

/** All code blocks of a Markdown page. */
export function blocksOf(page: string): SnippetBlock[] {
  const text = readFileSync(new URL(page, root), 'utf8')
  return [...text.matchAll(block)].map((match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length,
    language: match[2] ?? '',
    text: match[3] ?? '',
    source: match[1],
  }))
}

/**
 * The code a block must show: the file, or the lines between `// #region name` and `// #endregion`, outdented, below what they
 * import of the file's imports.
 */
export function codeOf(source: string): string {
  const [file = '', region] = source.split('#')
  const text = readFileSync(new URL(file, root), 'utf8')
  const lines = text.split('\n')
  if (region === undefined) return text
  const start = lines.findIndex((line) => line.trim() === `// #region ${region}`)
  const end = lines.findIndex((line, index) => index > start && line.trim() === '// #endregion')
  if (start < 0 || end < 0) throw new Error(`${fileURLToPath(new URL(file, root))} has no region "${region}"`)
  const body = lines.slice(start + 1, end)
  const indent = Math.min(
    ...body.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length),
  )
  const shown = `${body.map((line) => line.slice(indent)).join('\n')}\n`
  const imports = importsFor(shown, text, file)
  return imports.length === 0 ? shown : `${imports.join('\n')}\n\n${shown}`
}

const importStatement = /^import (type )?(?:(\w+)(?:, | ))?(?:\{([^}]*)\} )?(?:from )?'([^']+)'$/gm
const longestLine = 120

/** Those imports of the file that the code uses, as a reader would write them. */
function importsFor(code: string, text: string, file: string): string[] {
  // What stands in comments and strings uses nothing.
  const bare = code.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$|'[^'\n]*'/gm, '')
  const isUsed = (name: string): boolean => new RegExp(`(?<![\\w$]|(?<!\\.\\.)\\.)${name}(?![\\w$]|\\??: )`).test(bare)
  if (/^import /m.test(code)) return [] // It brings its own.
  return [...text.matchAll(importStatement)].flatMap(([, type = '', whole = '', list = '', from = '']) => {
    const parts = list.split(',').map((part) => part.trim())
    const used = parts.filter(
      (part) =>
        part !== '' &&
        isUsed(
          part
            .replace(/^type /, '')
            .split(' as ')
            .at(-1) ?? '',
        ),
    )
    const named = used.length === 0 ? [] : [`{ ${used.join(', ')} }`]
    const names = [...(whole !== '' && isUsed(whole) ? [whole] : []), ...named]
    if (names.length === 0) return []
    const line = `import ${type}${typesOnly(names.join(', '))} from '${published(from, file)}'`
    return [
      line.length <= longestLine
        ? line
        : line
            .replace('{ ', '{\n  ')
            .replace(' }', ',\n}')
            .replaceAll(/, (?=\w)/g, ',\n  '),
    ]
  })
}

/** `{ type A, type B }` is `type { A, B }`. */
function typesOnly(names: string): string {
  const parts = /^\{ (.+) \}$/.exec(names)?.[1]?.split(', ')
  const isAll = parts?.every((part) => part.startsWith('type ')) ?? false
  return isAll ? `type ${names.replaceAll('type ', '')}` : names
}

/** A test of a package imports its source; whoever reads has the package. */
function published(from: string, file: string): string {
  const name = /^packages\/([^/]+)\/test\//.exec(file)?.[1]
  return name !== undefined && from === '../src/index.ts' ? `@malote/${name}` : from
}

/** The page with every marked block replaced by the code it must show. */
export function withCurrentSnippets(page: string): string {
  const text = readFileSync(new URL(page, root), 'utf8')
  return text.replace(block, (whole, source: string | undefined, language: string) =>
    source === undefined ? whole : `<!-- snippet: ${source} -->\n\`\`\`${language}\n${codeOf(source)}\`\`\``,
  )
}
