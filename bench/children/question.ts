import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Answer, Benchmark } from '../harness/benchmark.ts'
import type { Environment } from '../harness/environment.ts'

export interface QuestionSetup {
  readonly name: string
  readonly rounds: number
  /** 1 for the committed figures, less for a quick look. */
  readonly scale: number
}

export interface QuestionReply {
  readonly environment: Environment
  readonly answer: Answer
}

/** The longest takes four to five minutes on a quiet machine. One that takes longer than this for so many rounds hangs. */
const limitMs = 20 * 60_000
const graceMs = 10_000
const commonRounds = 5

/**
 * Asks a question in a process and on a database server of its own: what was asked before does not change the answer, and a question
 * that fails or hangs takes none of the others with it. Its lines go to stderr.
 *
 * @throws Error when it failed or took too long
 */
export async function ask({ name }: Benchmark, { rounds, scale }: Omit<QuestionSetup, 'name'>): Promise<QuestionReply> {
  const setup: QuestionSetup = { name, rounds, scale }
  const child = fork(fileURLToPath(new URL('question-process.ts', import.meta.url)), [JSON.stringify(setup)], {
    execArgv: ['--conditions=@malote/source'],
    stdio: ['ignore', 2, 2, 'ipc'],
    serialization: 'advanced', // JSON has no NaN, and a figure may be one.
  })
  let reply: QuestionReply | undefined
  // It waits for that with its end: a message must not be on its way when the process is gone.
  child.once('message', (message) => {
    reply = message as QuestionReply
    child.disconnect()
  })
  const limit = limitMs * Math.max(1, rounds / commonRounds)
  let isLate = false
  // By SIGTERM it ends its server as it goes. A process that computes without end hears no signal.
  const timers = (['SIGTERM', 'SIGKILL'] as const).map((signal, n) =>
    setTimeout(
      () => {
        isLate = true
        child.kill(signal)
      },
      limit + n * graceMs,
    ),
  )
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  for (const timer of timers) clearTimeout(timer)
  if (isLate) throw new Error(`it took longer than ${String(Math.round(limit / 60_000))} minutes`)
  if (reply === undefined) throw new Error(`its process ended with ${String(code ?? signal)}`)
  return reply
}
