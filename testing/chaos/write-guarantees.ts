// Writes docs/guarantees.md from the reports of runs. Keep a run's report with
//   npm run chaos -- --minutes 10 --broker sqs --json | tail -1 > testing/chaos/reports/sqs.json
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { guarantees } from './guarantees.ts'
import type { ChaosReport } from './run-chaos.ts'

const folder = fileURLToPath(new URL('reports', import.meta.url))
const reports = readdirSync(folder).map((file) => ({
  broker: basename(file, '.json'),
  report: JSON.parse(readFileSync(join(folder, file), 'utf8')) as ChaosReport,
}))
writeFileSync(fileURLToPath(new URL('../../docs/guarantees.md', import.meta.url)), guarantees(reports))
