/** Where a command's result goes: for people as lines, for machines as one JSON value. */
export interface Output {
  /** Prints the value as JSON, or the lines. */
  print(value: unknown, lines: readonly string[]): void
  /** For people only, beside the result. */
  note(lines: readonly string[]): void
  /** Empties the screen, where there is one. */
  clear(): void
}

export function createOutput(json: boolean): Output {
  return {
    print: (value, lines) => console.log(json ? JSON.stringify(value) : lines.join('\n')),
    note: (lines) => (json ? undefined : console.error(lines.join('\n'))),
    clear: () => (process.stdout.isTTY ? console.clear() : undefined),
  }
}

/** Aligns rows under each other. */
export function table(rows: readonly (readonly (string | number | null)[])[]): string[] {
  const text = rows.map((row) => row.map((cell) => (cell === null ? '-' : printable(String(cell)))))
  const widths = (text[0] ?? []).map((_, column) => Math.max(...text.map((row) => row[column]?.length ?? 0)))
  return text.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** A broker's words must not move the cursor or start a new line. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ')
}

export const iso = (date: Date | null): string | null => date?.toISOString() ?? null

export const seconds = (ms: number | null): string | null => (ms === null ? null : `${(ms / 1000).toFixed(1)} s`)
