import { parseArgs } from 'node:util'
import { ask } from './children/question.ts'
import type { Answer, Benchmark } from './harness/benchmark.ts'
import { measuredCommit } from './harness/environment.ts'
import { toJson } from './harness/report.ts'
import { plainTable, round, tableRows } from './harness/table.ts'
import { writeDocs } from './harness/write-docs.ts'
import { questions } from './questions/index.ts'

const commonRounds = 5
const usage = `npm run bench                     every question, 35 to 40 minutes on two quiet cores
npm run bench -- NAME …           only these: ${questions.map((question) => question.name).join(', ')}
  --json        the last line of output is one object with all figures
  --rounds N    alternating rounds (default ${String(commonRounds)}, or what the question says)
  --quick       two rounds of a fifth of the messages: for a look, not for a verdict
  --write-docs  write what was asked into docs/performance.md, with its plots; what was not asked stays as it is

Each question is asked in a process and on a server of its own. One that fails, or takes longer than 20 minutes, is named at the end, and
the exit code is 1: the others are answered, and written, all the same.`

const { values: flags, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    'write-docs': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const unknown = names.filter((name) => !questions.some((question) => question.name === name))
const given = flags.rounds ?? (flags.quick ? '2' : undefined)
const isWrong = given !== undefined && !(Number.isInteger(Number(given)) && Number(given) >= 1)
if (flags.help || unknown.length > 0 || isWrong) {
  if (unknown.length > 0) console.error(`no benchmark is called ${unknown.map((name) => `"${name}"`).join(', ')}\n`)
  if (isWrong) console.error(`--rounds ${given}: a whole number from 1 on\n`)
  console.error(usage)
  process.exitCode = flags.help ? 0 : 2
} else {
  await measure(names.length === 0 ? questions : questions.filter((question) => names.includes(question.name)))
}

async function measure(chosen: readonly Benchmark[]): Promise<void> {
  const [command, commit] = [commandLine(), measuredCommit()]
  const answers = new Map<string, Answer>()
  const failed: string[] = []
  // Everything but the JSON goes to stderr: `--json` owns stdout.
  const log = (line: string): void => console.error(line)
  for (const question of chosen) {
    const start = performance.now()
    log(`\n${question.name}: ${question.question}`)
    const rounds = given === undefined ? (question.rounds ?? commonRounds) : Number(given)
    try {
      const { answer, environment } = await ask(question, { rounds, scale: flags.quick ? 0.2 : 1 })
      if (answers.size === 0) for (const [name, value] of Object.entries(environment.machine)) log(`${name}: ${value}`)
      answers.set(question.name, answer)
      for (const [name, figure] of Object.entries(answer.figures))
        log(`  = ${name}: ${round(figure.median)} ${figure.unit} (${round(figure.min)} … ${round(figure.max)})`)
      // At once: whatever becomes of the questions to come, this one is answered.
      if (flags['write-docs']) await writeDocs(question, { answer, environment, command, commit })
    } catch (error) {
      failed.push(question.name)
      log(`  failed: ${error instanceof Error ? error.message : String(error)}`)
    }
    log(`  took ${((performance.now() - start) / 1000).toFixed(1)} s`)
  }
  report(answers)
  if (failed.length === 0) return
  log(`\nnot answered, see above: ${failed.join(', ')}`)
  process.exitCode = 1
}

function report(answers: ReadonlyMap<string, Answer>): void {
  const rows = [...answers].flatMap(([name, answer]) => tableRows(name, answer))
  const print = flags.json ? console.error : console.log
  print(`\n${plainTable(rows)}`)
  if (flags.json) console.log(JSON.stringify(toJson(answers)))
}

function commandLine(): string {
  return ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
}
