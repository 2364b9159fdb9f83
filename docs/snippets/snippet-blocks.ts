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

/** The code a block must show: the file, or the lines between `// #region name` and `// #endregion`, outdented. */
export function codeOf(source: string): string {
  const [file = '', region] = source.split('#')
  const lines = readFileSync(new URL(file, root), 'utf8').split('\n')
  if (region === undefined) return lines.join('\n')
  const start = lines.findIndex((line) => line.trim() === `// #region ${region}`)
  const end = lines.findIndex((line, index) => index > start && line.trim() === '// #endregion')
  if (start < 0 || end < 0) throw new Error(`${fileURLToPath(new URL(file, root))} has no region "${region}"`)
  const body = lines.slice(start + 1, end)
  const indent = Math.min(
    ...body.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length),
  )
  return `${body.map((line) => line.slice(indent)).join('\n')}\n`
}

/** The page with every marked block replaced by the code it must show. */
export function withCurrentSnippets(page: string): string {
  const text = readFileSync(new URL(page, root), 'utf8')
  return text.replace(block, (whole, source: string | undefined, language: string) =>
    source === undefined ? whole : `<!-- snippet: ${source} -->\n\`\`\`${language}\n${codeOf(source)}\`\`\``,
  )
}
