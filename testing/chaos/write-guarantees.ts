// Writes docs/guarantees.md from the reports of runs. Keep a run's report with
//   npm run chaos -- --minutes 10 --broker sqs --json | tail -1 > testing/chaos/reports/sqs.json
import { writeFileSync } from 'node:fs'
import { guarantees } from './guarantees.ts'
import { readReports } from './reports.ts'

writeFileSync(new URL('../../docs/guarantees.md', import.meta.url), guarantees(readReports()))
