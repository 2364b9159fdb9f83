export interface Interruption {
  /** Rejects when the demo is told to end. */
  readonly interrupted: Promise<never>
  /** 128 + the signal's number, as shells expect it; null when there was none. */
  exitCode(): number | null
}

const signals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

/**
 * Turns Ctrl-C, a closed terminal, SIGTERM, and the death of the `npm run` that started this process into one rejection,
 * so that there is one way to stop. A second signal ends the process at once; its children see their channel close.
 */
export function onInterrupt(): Interruption {
  let code: number | null = null
  let interrupt: (error: Error) => void = () => {}
  const interrupted = new Promise<never>((_resolve, reject) => {
    interrupt = reject
  })
  interrupted.catch(() => {}) // It may come when nobody races with it; the exit code tells.
  const end = (why: string, exitCode: number): void => {
    if (code !== null) process.exit(code)
    code = exitCode
    process.stderr.write(`\n${why}: stopping\n`)
    interrupt(new Error(why))
  }
  for (const [name, number] of Object.entries(signals)) process.on(name, () => end(name, 128 + number))
  watchParent(() => end('the process that started the demo is gone', 129))
  // Nobody reads what is written any more, `npm run demo | head` for example: go on, the exit code still counts.
  process.stdout.on('error', () => {})
  process.stderr.on('error', () => {})
  return { interrupted, exitCode: () => code }
}

/** Under `npm run` only: started by hand, a demo may well outlive its shell. */
function watchParent(gone: () => void): void {
  if (process.env['npm_lifecycle_event'] === undefined) return
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    gone()
  }, 500)
  timer.unref()
}
