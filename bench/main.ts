import { parseArgs } from 'node:util'
import type { Answer } from './harness/benchmark.ts'
import { describeEnvironment, type Environment } from './harness/environment.ts'
import { toJson } from './harness/report.ts'
import { createBenchServer } from './harness/server.ts'
import { plainTable, round, tableRows } from './harness/table.ts'
import { writeDocs } from './harness/write-docs.ts'
import { questions } from './questions/index.ts'

const usage = `npm run bench                     every question, under 15 minutes
npm run bench -- NAME …           only these: ${questions.map((question) => question.name).join(', ')}
  --json        the last line of output is one object with all figures
  --rounds N    alternating rounds (default 5)
  --quick       two rounds of a fifth of the messages: for a look, not for a verdict
  --write-docs  write the table and the plots of docs/performance.md`

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
const rounds = Number(flags.rounds ?? (flags.quick ? 2 : 5))
if (flags.help || unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) {
  if (unknown.length > 0) console.error(`no benchmark is called ${unknown.map((name) => `"${name}"`).join(', ')}\n`)
  console.error(usage)
  process.exitCode = flags.help ? 0 : 2
} else {
  await measure(names.length === 0 ? questions : questions.filter((question) => names.includes(question.name)))
}

async function measure(chosen: typeof questions): Promise<void> {
  const server = createBenchServer()
  const answers = new Map<string, Answer>()
  // Everything but the JSON goes to stderr: `--json` owns stdout.
  const log = (line: string): void => console.error(line)
  try {
    const environment = await environmentOf(server)
    for (const question of chosen) {
      const start = performance.now()
      log(`\n${question.name}: ${question.question}`)
      const answer = await question.run({
        server,
        rounds,
        scale: flags.quick ? 0.2 : 1,
        log: (line) => log(`  ${line}`),
      })
      answers.set(question.name, answer)
      for (const [name, figure] of Object.entries(answer.figures))
        log(`  = ${name}: ${round(figure.median)} ${figure.unit} (${round(figure.min)} … ${round(figure.max)})`)
      log(`  took ${((performance.now() - start) / 1000).toFixed(1)} s`)
    }
    report(answers)
    if (flags['write-docs']) await writeDocs({ environment, command: commandLine(), questions: chosen, answers })
  } finally {
    await server.close()
  }
}

async function environmentOf(server: ReturnType<typeof createBenchServer>): Promise<Environment> {
  const database = await server.database()
  const environment = await describeEnvironment(database.admin)
  await database.drop()
  for (const [name, value] of Object.entries(environment)) console.error(`${name}: ${value}`)
  return environment
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
