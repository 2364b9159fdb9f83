import { formatProgress } from './report.ts'
import type { Watcher } from './run-demo.ts'

export interface Terminal extends Watcher {
  /** Ends the line that is being rewritten, so that what follows starts on its own. */
  finish(): void
}

/** Shows progress on stderr: one line rewritten in place on a terminal, a line every two seconds elsewhere. */
export function createTerminal(startedMs: number): Terminal {
  const { stderr } = process
  let openLine = false
  let lastMs = Number.NEGATIVE_INFINITY

  function finish(): void {
    if (openLine) stderr.write('\n')
    openLine = false
  }

  return {
    finish,
    said: (what) => {
      finish()
      stderr.write(`${what}\n`)
    },
    progressed: (state) => {
      const now = performance.now()
      const line = formatProgress(state, (now - startedMs) / 1_000)
      if (stderr.isTTY) {
        stderr.write(`\r\u001B[K${line.slice(0, stderr.columns - 1)}`)
        openLine = true
      } else if (now - lastMs >= 2_000) {
        stderr.write(`${line}\n`)
        lastMs = now
      }
    },
  }
}
