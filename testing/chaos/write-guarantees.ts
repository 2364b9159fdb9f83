// Writes docs/guarantees.md from the reports of runs. Keep a run's report with
//   npm run chaos -- --minutes 10 --broker sqs --json | tail -1 > testing/chaos/reports/sqs.json
// that of a shorter run with what came later (now: cut-offs, and faults that the long runs did not know) in reports/lately,
// and that of outages of what consumers need with
//   npm run chaos -- --minutes 5 --broker sqs --faults handler-database-away,kill-consumer,dead-letters-away,kill-consumer \
//     --every 20000 --outage 15 --json | tail -1 > testing/chaos/reports/outages/sqs.json
import { writeFileSync } from 'node:fs'
import { guarantees } from './guarantees.ts'
import { readReports } from './reports.ts'

writeFileSync(
  new URL('../../docs/guarantees.md', import.meta.url),
  guarantees(readReports(), readReports('reports/lately'), readReports('reports/outages')),
)
