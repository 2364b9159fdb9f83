/** Where a command's result goes: for people as lines, for machines as one JSON value. */
export interface Output {
  /** Prints the value as JSON, or the lines. */
  print(value: unknown, lines: readonly string[]): void
}

export function createOutput(json: boolean): Output {
  return {
    print: (value, lines) => console.log(json ? JSON.stringify(value) : lines.join('\n')),
  }
}

/** Aligns rows under each other. */
export function table(rows: readonly (readonly (string | number | null)[])[]): string[] {
  const text = rows.map((row) => row.map((cell) => (cell === null ? '-' : String(cell))))
  const widths = (text[0] ?? []).map((_, column) => Math.max(...text.map((row) => row[column]?.length ?? 0)))
  return text.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
