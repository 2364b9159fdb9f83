import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../packages/outbox-core/src/cli/main.ts', import.meta.url))

export interface CommandEnd {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * The command, run from its sources in this folder, with nobody there to ask.
 *
 * @param cwd - where what the command loads is installed
 * @param env - on top of this process's own
 */
export function maloteIn(
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): (...words: string[]) => Promise<CommandEnd> {
  return (...words) =>
    new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        ['--conditions=@malote/source', program, ...words],
        { cwd, env: { ...process.env, ...env, NODE_OPTIONS: '' } },
        (_, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
      )
      child.stdin?.end()
    })
}
