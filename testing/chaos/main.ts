import { chaosArguments, usage } from './arguments.ts'
import { outcomeOf } from '../history/check-history.ts'
import { replayHistory } from '../model/lane-trace.ts'
import { runChaos } from './run-chaos.ts'
import { kindsDone, kindsNotRun } from './surroundings.ts'
import { whereabouts } from './run-until-decided.ts'

if (process.argv.includes('--help')) {
  console.log(usage)
} else {
  const options = chaosArguments(process.argv.slice(2), (line) => console.error(line))
  const { kinds, leftOut } = kindsDone(options)
  if (kinds.length === 0) {
    for (const line of leftOut) console.error(line)
    process.exit(process.env['CI'] === 'true' && Object.keys(kindsNotRun(options)).length > 0 ? 1 : 0)
  }
  const { report, health, history } = await runChaos(options)
  console.error(JSON.stringify(health))
  for (const { rule, evidence } of report.violations) console.error(`VIOLATION ${rule}: ${evidence}`)
  if (health.missingLanes > 0)
    console.error(`LANES ${String(health.missingLanes)} are missing: nothing in them is ever published`)
  for (const hollow of health.hollow) console.error(`HOLLOW ${hollow}`)
  for (const [kind, resumed] of Object.entries(report.resumedMs ?? {}))
    if (resumed.length > 0)
      console.error(`RESUMED ${kind}: ${resumed.map((ms) => `${String(ms)} ms`).join(', ')} after the mend`)
  const replayed = replayHistory(history)
  for (const refused of replayed.refused) console.error(`NO HISTORY OF THE MODEL ${refused}`)
  const notReplayed = Object.entries(replayed.leftOut).map(([why, count]) => `${String(count)} left out (${why})`)
  console.error(
    `REPLAYED against the model: ${[`${String(replayed.accepted)} accepted`, `${String(replayed.refused.length)} refused`, `${String(replayed.undecided)} undecided`, ...notReplayed].join(', ')}`,
  )
  const outcome = outcomeOf(report)
  if (report.undelivered.length > 0) console.error(`${outcome}: ${whereabouts({ report, health })}`)
  console.log(
    options.json
      ? JSON.stringify(report)
      : JSON.stringify(
          { ...report, violations: report.violations.length, undelivered: report.undelivered.length },
          null,
          2,
        ),
  )
  const isSound =
    outcome === 'sound' &&
    replayed.refused.length === 0 &&
    health.crashed.length === 0 &&
    health.stuck.length === 0 &&
    health.overfull.length === 0 &&
    health.starved.length === 0 &&
    health.missingLanes === 0 &&
    health.hollow.length === 0 &&
    (report.notRun === undefined || process.env['CI'] !== 'true') &&
    health.drain.left === 0
  // A broker's client may keep a timer of a connection that was cut: the run is over all the same.
  process.stdout.write('', () => process.exit(isSound ? 0 : 1))
}
