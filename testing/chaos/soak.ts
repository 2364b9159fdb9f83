// `npm run soak -- --hours H`: the properties with far more cases, the chaos plan on every broker in turn, faults that need a set-up of their own, and relays
// without a guard, which must be noticed.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { outcomeOf } from '../history/check-history.ts'
import { chaosArguments } from './arguments.ts'
import { consumerOutages, soakedApart } from './plan.ts'
import { isPlantedSeen, planted } from './planted.ts'
import { runUntilDecided } from './run-until-decided.ts'
import { kindsDone, kindsNotRun } from './surroundings.ts'

const usage = `npm run soak -- [options]
  --hours H     how long to go on; the last run is cut short, and what it began is drained; what is not reached is named (default 1)
  --seed S      of the first round; each round takes the next (default: random, printed)
  --minutes M   of faults on each broker in each round (default 5)
  --scale N     times as many cases of each property as the tests take (default 20); of command lines always a million`

const brokers = ['sqs', 'rabbitmq', 'kafka'] as const
/** Consumers are killed while what they need is away for long. */
const outageKinds = [...consumerOutages, 'kill-consumer'].join(',')
const outages = ['--faults', outageKinds, '--every', '15000', '--outage', '20']
const hourMs = 3_600_000
/** Shorter runs meet no fault. */
const leastMinutes = 0.1

const { values } = parseArgs({
  options: {
    hours: { type: 'string', default: '1' },
    seed: { type: 'string' },
    minutes: { type: 'string', default: '5' },
    scale: { type: 'string', default: '20' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) console.log(usage)
else process.exit((await soak()) === 0 ? 0 : 1)

/** One thing that a round does. */
interface Run {
  readonly what: string
  readonly isSound: (endMs: number) => boolean | Promise<boolean>
}

/** @returns how many runs found something */
async function soak(): Promise<number> {
  const endMs = performance.now() + positive('hours', values.hours) * hourMs
  const firstSeed = values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : positive('seed', values.seed)
  const failed: string[] = []
  const notReached: string[] = []
  for (let seed = firstSeed; performance.now() < endMs; seed++) {
    for (const { what, isSound } of roundOf(seed)) {
      if (performance.now() >= endMs) {
        if (seed === firstSeed) notReached.push(what)
      } else if (!(await isSound(endMs))) failed.push(what)
    }
  }
  for (const what of notReached) console.error(`NOT REACHED in this time: ${what}`)
  for (const what of failed) console.error(`FAILED ${what}`)
  console.log(`${String(failed.length)} of the runs found something`)
  return failed.length
}

/** The properties come first: however short the soak and busy the machine, it has all their cases. */
function roundOf(seed: number): readonly Run[] {
  const chaos = (name: string, broker: string, more: readonly string[] = []): Run => ({
    what: `${name} on ${broker}, seed ${String(seed)}`,
    isSound: (endMs) => isSound(broker, seed, endMs, more),
  })
  // On one broker a round, each in its turn: the faults are of the host and of operators, and the same on all of them.
  const turn = brokers[seed % brokers.length] as (typeof brokers)[number]
  return [
    { what: `properties, seed ${String(seed)}`, isSound: () => holdProperties(seed) },
    ...brokers.flatMap((broker) => [chaos('chaos', broker), chaos('outages', broker, outages)]),
    ...soakedApart.map((group) => chaos(group.join(','), turn, ['--faults', group.join(',')])),
    ...planted.map((one) => ({
      what: `a look whether ${one.variant} is seen, seed ${String(seed)}`,
      isSound: () => isPlantedSeen(one, seed),
    })),
  ]
}

async function isSound(broker: string, seed: number, endMs: number, more: readonly string[] = []): Promise<boolean> {
  const restMinutes = (endMs - performance.now()) / 60_000
  const minutes = Math.max(leastMinutes, Math.min(positive('minutes', values.minutes), restMinutes))
  console.log(`\nchaos on ${broker}, seed ${String(seed)}`)
  const flags = ['--broker', broker, '--seed', String(seed), '--minutes', String(minutes), ...more]
  try {
    const options = chaosArguments(flags, () => {})
    const { kinds, leftOut } = kindsDone(options)
    for (const line of leftOut) console.error(line)
    const isMissed = Object.keys(kindsNotRun(options)).length > 0 && process.env['CI'] === 'true'
    if (leftOut.length > 0 && kinds.every((kind) => kind === 'kill-relay')) return !isMissed
    const { report, health } = await runUntilDecided(options)
    for (const { rule, evidence } of report.violations) console.error(`VIOLATION ${rule}: ${evidence}`)
    const { published, duplicates, effectsApplied } = report
    console.log(JSON.stringify({ published, duplicates, effectsApplied, violations: report.violations.length }))
    for (const crash of health.crashed) console.error(`CRASHED ${crash}`)
    for (const hollow of health.hollow) console.error(`HOLLOW ${hollow}`)
    // A run that is cut short at the end of the soak may be too short for a fault to bite.
    const hollow = minutes < positive('minutes', values.minutes) ? 0 : health.hollow.length
    return !isMissed && outcomeOf(report) === 'sound' && health.crashed.length + health.stuck.length + hollow === 0
  } catch (error) {
    console.error(error) // The next run may say more: hours of them are not given up for one.
    return false
  }
}

/** The tests that draw their cases from a seed, with another seed and more cases. */
function holdProperties(seed: number): boolean {
  console.log(`\nproperties, seed ${String(seed)}`)
  const scale = String(positive('scale', values.scale))
  const env = { ...process.env, MALOTE_PROPERTY_SCALE: scale, MALOTE_PROPERTY_SEED: String(seed) }
  const args = ['run', '--project', 'unit']
  return spawnSync('vitest', args, { stdio: 'inherit', env, shell: process.platform === 'win32' }).status === 0
}

function positive(name: string, value: string): number {
  const number = Number(value)
  if (!Number.isFinite(number) || number <= 0) throw new Error(`--${name} ${value}: a number above 0`)
  return number
}
