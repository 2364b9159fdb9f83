// Answers one question and ends: see `question.ts`.
import { describeEnvironment } from '../harness/environment.ts'
import { createBenchServer } from '../harness/server.ts'
import { questions } from '../questions/index.ts'
import type { QuestionReply, QuestionSetup } from './question.ts'

const { name, rounds, scale } = JSON.parse(process.argv[2] ?? '{}') as QuestionSetup
const question = questions.find((asked) => asked.name === name)
if (question === undefined) throw new Error(`no benchmark is called "${name}"`)
let isAnswered = false
process.once('disconnect', () => process.exit(isAnswered ? 0 : 1)) // The reply was heard, or nobody is there to hear it.

const server = createBenchServer()
try {
  const database = await server.database()
  const environment = await describeEnvironment(database.admin)
  await database.drop()
  const answer = await question.run({ server, rounds, scale, log: (line) => console.error(`  ${line}`) })
  await server.close()
  const reply: QuestionReply = { environment, answer }
  isAnswered = true
  process.send?.(reply)
} catch (error) {
  // What it was in the middle of goes on, and would keep the process: it ends here, and its server with it.
  console.error(error)
  process.exit(1)
}
