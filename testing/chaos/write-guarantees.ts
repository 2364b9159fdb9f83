// Writes docs/guarantees.md from the reports of runs. Keep a run's report with
//   npm run chaos -- --minutes 10 --broker sqs --json | tail -1 > testing/chaos/reports/sqs.json
// that of a shorter run with what came later (now: cut-offs, and faults that the long runs did not know) in reports/lately,
// and that of outages of what consumers need with
//   npm run chaos -- --minutes 20.5 --broker sqs --seed 2090 --relays 2 --every 40000 --outage 600 \
//     --faults handler-database-away$(printf ',kill-consumer%.0s' $(seq 26)),dead-letters-away --json | tail -1 > testing/chaos/reports/outages/sqs.json
// and of destinations, in reports/destinations (`--every 330000 --outage 290 --minutes 10.5` for those in its folder long), with
//   npm run chaos -- --minutes 10 --broker sqs --every 20000 --outage 5 --defaults --faults destination-away,destination-throttled --json
import { writeFileSync } from 'node:fs'
import { guarantees } from './guarantees.ts'
import { readReports } from './reports.ts'

writeFileSync(new URL('../../docs/guarantees.md', import.meta.url), guarantees(readReports()))
