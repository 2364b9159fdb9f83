import type { FaultKind } from './plan.ts'
import { brokenSystems } from '../judges/spin-systems.ts'
import { plantedFaultTable, promiseTable } from './planted-faults.ts'
import {
  command,
  destinationCommand,
  destinationTable,
  outageCommand,
  outageTable,
  recoveryCommand,
  recoveryTable,
  seconds,
} from './outage-tables.ts'
import type { ChaosReport } from './run-chaos.ts'

/** A run's report, and what it was run on. */
export interface BrokerReport {
  readonly broker: string
  readonly report: ChaosReport
}

/** What is done, and what may follow from it. Losing, reordering, applying twice may follow from nothing. */
const consequences: Record<FaultKind, readonly [done: string, repeats: string]> = {
  'kill-relay': ['SIGKILL of a relay process', 'what it had in flight'],
  'kill-relay-at-failpoint': [
    'SIGKILL of a relay between two steps of a batch (seven points, from "lane acquired" to "settled")',
    'what it had in flight',
  ],
  'pause-relay': ['SIGSTOP of a relay for twice its lease, then SIGCONT', 'what it had in flight'],
  'move-relay-clock': ['the wall clock of one relay jumps an hour, either way, and back', 'none'],
  'relay-leaves': ['a relay stops gracefully', 'none'],
  'relay-joins': ['another relay joins and leaves again', 'none'],
  'kill-writer-at-failpoint': ['SIGKILL of a writer just before or just after its commit', 'none'],
  'kill-consumer': ['SIGKILL of a consumer process', 'redelivered by the broker, applied once'],
  'kill-consumer-at-failpoint': [
    'SIGKILL of a consumer before its effect, inside its transaction, or before its acknowledgement',
    'redelivered by the broker, applied once',
  ],
  'terminate-backends': ['`pg_terminate_backend` of all connections of a relay', 'what it had in flight'],
  'cut-database-connections': ["reset of a relay's connections to PostgreSQL", 'what it had in flight'],
  'half-open-database-connections': [
    "a relay's connections to PostgreSQL stay open and carry nothing, as when a machine vanishes",
    'what it had in flight',
  ],
  'slow-database-connections': [
    '200 ms added each way between a relay and PostgreSQL',
    'what it had in flight, if its lease runs out',
  ],
  'black-hole': [
    "a relay's connections to PostgreSQL, and those that it makes instead, are accepted and never answered, nor closed",
    'what it had in flight',
  ],
  'cut-broker-connections': ["reset of a relay's connections to the broker", 'what it had in flight'],
  'half-open-broker-connections': [
    "a relay's connections to the broker stay open and carry nothing",
    'what it had in flight',
  ],
  'slow-broker-connections': [
    '200 ms added each way between a relay and the broker',
    'what it had in flight, if the publish times out',
  ],
  'hung-destination': ['one of two destinations does not answer for seconds', 'none'],
  'large-bodies': ['bodies that are several times what a relay may have in memory, all at once', 'none'],
  truncate: ['`TRUNCATE` of the tables in which relays and lanes stand', 'what was in flight'],
  'disk-full': [
    'every write to the outbox fails with 53100 (disk full) for a while',
    'what was acknowledged and not settled',
  ],
  'restart-postgres-fast': ['PostgreSQL stops (`fast`) and starts', 'what was acknowledged and not settled'],
  'restart-postgres-immediate': [
    'PostgreSQL crashes (`immediate`) and recovers from its log',
    'what was acknowledged and not settled, or settled in the last moment (`durableSettles` waits for the disk)',
  ],
  'destination-away': [
    'the queue is not bound (RabbitMQ), does not exist (SQS), or may not be written to (Kafka)',
    'nothing; no message pays an attempt',
  ],
  'destination-throttled': [
    'the queue is full (RabbitMQ), the service throttles (SQS), or the right to write comes and goes (Kafka)',
    'nothing; no message pays an attempt',
  ],
  'handler-database-away': [
    "the database of all consumers' handlers refuses every connection, those of processes that start meanwhile too",
    'redelivered by the broker where a consumer is killed, applied once; no message pays an attempt',
  ],
  'dead-letters-away': [
    'the place for dead letters is full (RabbitMQ), does not exist (SQS), or may not be written to (Kafka)',
    'redelivered by the broker where a consumer is killed, applied once',
  ],
  'restart-broker': ['SIGKILL of the broker, which starts again on its data', 'what was in flight'],
  'pause-topic': ['an operator pauses the topic that nearly everything goes to, and lets it go on', 'none'],
  'hold-key': ['an operator holds an ordering key by hand, and releases it', 'none'],
  'replay-dead-letters': [
    'messages die and their keys are held behind them; an operator mends the cause and replays them',
    'none; each comes through in its old place',
  ],
  'exhaust-pool': [
    "somebody else takes every connection of a relay's pool, while its own are ended",
    'what it had in flight',
  ],
  'exhaust-connections': ['PostgreSQL has no connection left (53300) when those of a relay end', 'what was in flight'],
  'broker-disk-full': [
    "the broker's disk counts as full: RabbitMQ stops reading from whoever publishes, Kafka ends itself and starts again when there is room",
    'what was in flight',
  ],
  'restart-pgbouncer': ['SIGKILL of the PgBouncer that everybody goes through, in session mode', 'what was in flight'],
  'partition-database': [
    'the cable between a relay and PostgreSQL is pulled (network namespaces): packets do not arrive, and nobody is told',
    'what it had in flight',
  ],
  'partition-broker': ['the same between a relay and the broker', 'what it had in flight'],
  'move-database-clock': [
    'the clock of the database host jumps by ten seconds (three leases), either way, and back',
    'what was in flight, and what a relay publishes by a lease that ran out by it, until it renews',
  ],
}

/** The reports of runs that were kept, one for each broker. */
export interface KeptReports {
  /** Of thirty minutes, on a machine with much else to do. */
  readonly thirty: readonly BrokerReport[]
  /** Those whose times are told. */
  readonly long: readonly BrokerReport[]
  /** Of shorter runs, with what the others did not know yet. */
  readonly lately: readonly BrokerReport[]
  /** Of runs that were asked for faults by name: first those in which one is over before the next begins. */
  readonly asked: readonly BrokerReport[]
  /** Of runs in which a relay dies, or loses its sessions, and everybody works again before the next does. */
  readonly recovery: readonly BrokerReport[]
  /** Of runs in which consumers lack what they need for long. */
  readonly outages: readonly BrokerReport[]
  /** Of runs in which a destination is away or throttled, again and again for seconds, or twice for minutes. */
  readonly destinations: readonly BrokerReport[]
  readonly longDestinations: readonly BrokerReport[]
}

/** The whole of docs/guarantees.md. */
export function guarantees(kept: KeptReports): string {
  const { thirty, long, lately, asked, recovery, outages, destinations, longDestinations } = kept
  return `# What holds when things break

<!-- Written by testing/chaos/write-guarantees.ts from the reports in testing/chaos/reports. Do not edit by hand. -->

This page says what Malote promises, and what was done to see whether it holds. What it does *not* promise stands [at the end](#what-is-not-promised).

The figures come from runs of \`npm run chaos\`. There are real processes, a real PostgreSQL and a real broker. Faults are drawn from a seed, and overlap. A
[checker](../testing/history/check-history.ts) that knows nothing of the library then looks for a broken promise. It knows four things: what the writers
committed, what was handed to the broker, what consumers received, and what they applied.

${promises}## Planted faults

These faults were planted in the code on purpose, by the promise they break. The table says who noticed each. [A test](../testing/chaos/test/planted-faults.test.ts) keeps its
names true, and no cell empty. It also sees that what was found broken is the promise beside it, and not another. Every rule of the checker is broken by a made-up history
in [its test](../testing/history/check-history.test.ts). \`npm run mutants\` runs the mutants.

\`npm run judges -- --planted\` plants the faults of the last column, and sees each refused by a broker or a client that nobody here wrote. These see messages, and no
transaction, lane or cut-off: the three promises about those are left to SPIN. Of applying once they see what was never applied; what would be applied twice the
inbox alone knows. [What came of it](records.md#faults-that-were-planted-for-them).

${plantedFaultTable()}
## Runs

${runTable([...thirty, ...long, ...lately, ...asked])}
The runs of thirty minutes and of three draw what every run draws, those of thirty ${thirtyCounts(thirty)}; those of ten minutes are older than cut-offs and
than some of the faults. The others were asked for faults by name. Those of two minutes begin one every two and a half seconds, so that faults of a server queue up. The other
runs of three minutes begin one every fifteen seconds.

*Load* is the machine's load average over a minute: its median and the most of it. The machine has two cores. Above that number processes wait for one, and starting one takes many
times as long. A dash is for runs that did not note it; they too ran beside other work. A cut-off that is not complete says so, and promises nothing.

## Faults

No fault may lose, invent or reorder a message, apply one twice, or give a lane two owners.

- *Repeats* says what may be published a second time.
- *Again after* is the time to the first publish in each lane that stood still: half of the lanes within the first figure, the last within the second. It begins with
  the fault or, for a server, when that was up again. Faults overlap, so the second figure often includes another fault.
- The figures are of the ten minutes, on two cores with other work to do: read them as upper bounds. What those runs do not know comes from shorter ones.
- The ten last faults need a set-up of their own, and are done when a run asks for them by name ([commands and results](records.md#faults-in-a-running-system)).
- Each fault looks whether it bites. A run in which one did nothing fails as \`HOLLOW\`. What a machine cannot do (no root for network namespaces, no
  libfaketime) is told as \`NOT RUN\`, and fails under \`CI=true\`. What a broker has no such thing for is \`SKIPPED\`.

${faultTable(long, [...destinations, ...lately, ...outages, ...asked])}
Reproduce a run's plan with its seed, for example \`${command(long[0])}\`. What the plan does and to whom is the same
every time; what the processes are doing at that instant is up to the operating system.

## A relay that dies

Its sessions end with it, and the others see that: nobody waits for its lease. Here a fault comes every fifteen seconds on average, so that most are over before the next.
The load was ${loadRange(recovery)} on two cores.

${recoveryTable(recovery)}
Reproduce one with \`${recoveryCommand(recovery[0])}\`.

## Outages of what consumers need

A handler's own database may be away, or the place for dead letters may take none. Neither costs a message an attempt, nor leaves a gap in a stream: consumers
pause, and go on when it is back. The options are the defaults, and consumers are killed meanwhile.

*Went on after* is the time from the mend to the next message applied, or the next dead letter put away. Counted are mends that somebody waited for, with no other fault near.

${outageTable(outages)}
Reproduce one with \`${outageCommand(outages[0])}\`.

## Outages of a destination

One queue, exchange or topic is away or throttled, and the broker is not. Relays keep the library's own attempts and pauses. No message is made to fail, so an attempt
that is paid, a dead letter or a held key would be the outage's doing.

*Again after* is counted from the mend to the first publish in each lane that stood still: half of them within the first figure, the last within the second. A
destination is tried again after half to all of a pause that grows to two seconds. Where another outage began as one ended, or where minutes of backlog go out in
their sequence, the second figure has that in it.

${destinationTable([...destinations, ...longDestinations])}
Reproduce one with \`${destinationCommand(destinations[0])}\`, or \`${destinationCommand(longDestinations[0])}\`.

${limits}`
}

const promises = `## Promises

${promiseTable()}
*Rule* means a rule of that checker. *The model* means one of four small [models](model.md) of the protocol. A program visits every interleaving of each: two relays
and two writers on one lane; operators and a cut-off beside one key; two processes of a consumer; a publisher that says nothing but no. All promises are
stated again for SPIN, a checker that nobody here wrote: \`npm run judges\` lets it visit up to eleven million states of each.

Who checks the checkers? Rules are taken out one by one, of the models, of SPIN's statements (${String(brokenSystems.length)} of them) and of the running system
([variants.chaos.test.ts](../testing/chaos/test/variants.chaos.test.ts)), and each time somebody must notice: by the promise that it breaks.

`

const limits = `## What is not promised

- A message may be published more than once, and a repeat of an older message may come after a newer one of its key. Consumers
  need the inbox.
- Order across keys, and order of one key whose writers do not lock anything in common before they add (see [ordering](ordering.md)).
- Publishing cannot be fenced: a process paused between checking its lease and sending may send after another relay took over. What it
  had in flight is then published twice; nothing it decided afterwards counts.
- A quick end of a message that kills the process which publishes it. First two deaths in a row put its lane under suspicion, and up to two more
  narrow that to single messages. After \`maxAttempts\` deaths while it was published alone it becomes a dead letter (\`POISON\`). A good message is taken for one only
  if that many relays die of something else in the very moments in which they publish it alone.
- A time to recover. Without the presence signal (a pooler in transaction mode, a machine that vanished) it is the lease, or \`databaseTimeoutMs\` where the machine
  vanished in the middle of a transaction. The relays' share of lanes, reconnecting and the broker's own start come on top.
- That the clock of the database host is right. When it goes back by N, what was scheduled for later or for a retry waits N longer. When it goes forward, that comes
  early. Nothing is lost or reordered. A jump forward ends leases that their relays still trust, and until such a relay renews, two relays may publish the same.
`

/** How often what comes least was done, over all of them. */
function thirtyCounts(reports: readonly BrokerReport[]): string {
  const counts = reports.flatMap(({ report }) => Object.values(report.faults))
  return counts.length === 0 ? 'none yet' : `each fault ${String(Math.min(...counts))} times and more`
}

/** The smallest and the largest of the loads at which they ran. */
function loadRange(reports: readonly BrokerReport[]): string {
  const loads = reports.flatMap(({ report }) => report.load?.median ?? [])
  return `${Math.min(...loads).toFixed(0)} to ${Math.max(...loads).toFixed(0)}`
}

function runTable(reports: readonly BrokerReport[]): string {
  const rows = reports.map(({ broker, report }) => {
    const faults = Object.values(report.faults).reduce((sum, count) => sum + count, 0)
    const { load } = report
    const busy = load === undefined ? '–' : `${load.median.toFixed(0)} … ${load.max.toFixed(0)}`
    const cells = [report.seconds, report.seed, faults, report.published, report.delivered, report.duplicates]
    const lines =
      report.cutOffs === undefined ? '–' : `${String(report.cutOffs.complete)} of ${String(report.cutOffs.drawn)}`
    const verdict = [report.effectsApplied, lines, report.lost, report.orderViolations, report.violations.length, busy]
    return `| ${[broker, ...cells, ...verdict].join(' | ')} |`
  })
  return `| broker | seconds | seed | faults | published | delivered | repeats | effects | cut-offs complete | lost | out of order | violations | load |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}

/** @param others - runs that are asked for a fault that the broker's own in `reports` has none of */
function faultTable(reports: readonly BrokerReport[], others: readonly BrokerReport[]): string {
  const rows = Object.entries(consequences).map(([kind, [done, repeats]]) => {
    const cells = reports.map(({ broker, report }) => {
      const ofBroker = others.filter((other) => other.broker === broker).map((other) => other.report)
      return measured([report, ...ofBroker].find(({ faults }) => faults[kind] !== undefined) ?? report, kind)
    })
    return `| \`${kind}\` | ${done} | ${repeats} | ${cells.join(' | ')} |`
  })
  const names = reports.map(({ broker }) => `${broker}: times, again after`)
  return `| fault | what is done | repeats | ${names.join(' | ')} |
|---|---|---|${names.map(() => '---|').join('')}
${rows.join('\n')}
`
}

function measured(report: ChaosReport, kind: string): string {
  const times = report.faults[kind]
  if (times === undefined) return '–'
  const recovery = report.recoveryMs[kind]
  return recovery === undefined
    ? `${String(times)} ×`
    : `${String(times)} ×, ${seconds(recovery.p50)} … ${seconds(recovery.max)}`
}
