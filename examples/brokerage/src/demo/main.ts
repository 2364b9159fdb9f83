/** `npm run demo`: sends orders through the whole brokerage while the relay is killed, and checks that no centavo is missing. */
import { readFile } from 'node:fs/promises'
import { type DemoOptions, parseArguments, usage, UsageError } from './arguments.ts'
import { onInterrupt } from './interrupt.ts'
import { generateOrders } from './generate-orders.ts'
import { checkInvariants } from './invariants.ts'
import { InputError, type OrderLine, parseOrderLines } from './order-line.ts'
import { createProcesses } from './processes.ts'
import { formatInvariants, formatSummary, summarise } from './report.ts'
import { runDemo } from './run-demo.ts'
import { createTerminal } from './terminal.ts'

const exitCodes = { ok: 0, invariantBroken: 1, badInput: 2 } as const

async function readLines({ input, orders, seed }: DemoOptions): Promise<readonly OrderLine[]> {
  if (input === null) return generateOrders(orders, seed)
  try {
    return parseOrderLines(await readFile(input, 'utf8'), input)
  } catch (error) {
    if (error instanceof InputError) throw error
    throw new InputError(`${input}: cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

/** @returns the exit code */
async function demo(options: DemoOptions, interrupted: Promise<never>): Promise<number> {
  const startedMs = performance.now()
  const lines = await readLines(options)
  const processes = createProcesses()
  const terminal = createTerminal(startedMs)
  try {
    const run = await Promise.race([interrupted, runDemo(options, lines, processes, terminal)])
    const summary = summarise(run, lines.length, (performance.now() - startedMs) / 1_000)
    const invariants = checkInvariants(run)
    const broken = invariants.filter(({ holds }) => !holds)
    terminal.finish()
    if (options.json) {
      process.stdout.write(`${JSON.stringify(summary)}\n`)
      process.stderr.write(formatInvariants(broken))
    } else {
      process.stdout.write(`\n${formatSummary(summary)}\n${formatInvariants(invariants)}`)
    }
    if (options.keep) await keepUp(run.urls, interrupted)
    return broken.length === 0 ? exitCodes.ok : exitCodes.invariantBroken
  } finally {
    terminal.finish()
    await processes.stop()
  }
}

async function keepUp(urls: Readonly<Record<string, string>>, interrupted: Promise<never>): Promise<void> {
  process.stderr.write('\nEverything stays up. Ctrl-C ends it.\n')
  for (const [name, url] of Object.entries(urls)) process.stderr.write(`  ${name.padEnd(10)}${url}\n`)
  const api = urls['api'] ?? ''
  process.stderr.write(`
  console   ${api}/
  swagger   ${api}/swagger

  curl -i -X POST ${api}/api/orders -H 'Content-Type: application/json' \\
    -H 'Idempotency-Key: qualquer-string-unica' -H 'Authorization: Bearer fake-token' \\
    -d '{"amount": 1000, "asset": "PETR4", "type": "BUY"}'
  curl -H 'Authorization: Bearer fake-token' ${api}/api/balance
`)
  await interrupted
}

const interruption = onInterrupt()
try {
  const options = parseArguments(process.argv.slice(2))
  if (options.help) process.stdout.write(usage)
  else process.exitCode = await demo(options, interruption.interrupted)
} catch (error) {
  const interruptCode = interruption.exitCode()
  if (interruptCode !== null) process.exitCode = interruptCode
  else if (error instanceof UsageError || error instanceof InputError) {
    process.stderr.write(`demo: ${error.message}\n`)
    if (error instanceof UsageError) process.stderr.write('try: npm run demo -- --help\n')
    process.exitCode = exitCodes.badInput
  } else {
    console.error(error)
    process.exitCode = exitCodes.invariantBroken
  }
}
process.exit()
