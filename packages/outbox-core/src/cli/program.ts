import { Argument, Command, Option } from 'commander'
import type { RelayDeadLetterReason } from '../dead-letter-reason.ts'
import { messageStates } from '../find-messages.ts'
import { rolePurposes } from '../postgres/grants.ts'
import * as deciding from './deciding.ts'
import { listHeldStreams, releaseHeldStream } from './held-streams.ts'
import type { CommonFlags, Verb } from './invocation.ts'
import * as looking from './looking.ts'
import { createOutput } from './output.ts'
import { purge, purged } from './purge.ts'
import { redrive, type RedriveFlags } from './redrive.ts'
import { grants, migrate } from './schema-verbs.ts'
import * as values from './values.ts'

/** Connects, runs the verb and keeps its exit code. */
export type Run = (verb: Verb<never>, flags: CommonFlags, words: readonly string[]) => Promise<void>

/** Runs a relay until it is told to stop. */
export type RunRelay = (flags: CommonFlags & RelayFlags) => Promise<void>

/** Serves the console until it is told to stop. */
export type RunConsole = (flags: CommonFlags & ConsoleFlags) => Promise<void>

export interface ConsoleFlags {
  readonly host?: string
  readonly port?: number
  readonly answerTo?: readonly string[]
  readonly allowActions?: boolean
}

export interface RelayFlags {
  readonly config: string
  readonly host?: string
  readonly port?: number
}

const deathReasons: readonly RelayDeadLetterReason[] = ['MAX_ATTEMPTS', 'PERMANENT', 'POISON']

const examples = (...lines: string[]): string => `\nExamples:\n${lines.map((line) => `  malote ${line}`).join('\n')}`

/** All verbs; `version` is the package's. */
export function createProgram(version: string, run: Run, relay: RunRelay, serve: RunConsole): Command {
  const program = new Command('malote')
    .description('look after an outbox')
    .version(version)
    .option('--database-url <url>', 'default: the variable DATABASE_URL, then PGHOST, PGUSER and so on')
    .option('--schema <name>', 'default: malote', values.schemaName)
    .option('--json', 'one JSON value on standard output')
    .option('--yes', 'do not ask before deleting or changing many')
    .option('--operator <name>', 'who decides, for `malote audit`; default: who runs the command')
    .option('--reason <text>', 'why, for `malote audit`')
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      '\nExit codes: 0 fine, 1 failed or a problem was found, 2 the command line is wrong, 3 could not look.',
    )
  const verb = (parent: Command, name: string, description: string, action: Verb<never>): Command =>
    parent
      .command(name)
      .description(description)
      .action(async (...given: unknown[]) => {
        const command = given.at(-1) as Command
        await run(action, command.optsWithGlobals(), command.args)
      })
  addSchemaVerbs(program, verb)
  addRelayVerb(program, relay)
  addConsoleVerb(program, serve)
  addLookingVerbs(program, verb)
  addHoldingVerbs(program, verb)
  addDecidingVerbs(program, verb)
  addConsumerVerbs(program, verb)
  values.refuseEmptyValues(program)
  return program
}

type AddVerb = (parent: Command, name: string, description: string, action: Verb<never>) => Command

function addSchemaVerbs(program: Command, verb: AddVerb): void {
  verb(program, 'migrate', 'create or upgrade the tables', migrate)
    .option('--dry-run', 'print a script for psql instead')
    .addOption(new Option('--only <component>', 'default: what is installed').choices(['outbox', 'idempotency']))
    .option('--adopt <file...>', 'note files that another tool has run')
    .addHelpText('after', examples('migrate', 'migrate --dry-run --schema money | psql'))
  program
    .command('grants')
    .description('print the SQL that gives a role what it needs')
    .requiredOption('--role <name>', 'the role')
    .addOption(new Option('--for <purpose>', 'what it is for').choices(rolePurposes).makeOptionMandatory())
    .action((_: unknown, command: Command) => {
      process.exitCode = grants(command.optsWithGlobals())
    })
    .addHelpText('after', examples('grants --role relay --for relay | psql'))
}

function addRelayVerb(program: Command, relay: RunRelay): void {
  program
    .command('relay')
    .description('run a relay for one outbox or several until SIGTERM, with health endpoints, metrics and JSON logs')
    .requiredOption('--config <file>', 'a module that exports { publisher } as default, or an array of these')
    .option('--port <port>', 'of /healthz, /readyz and /metrics; default: 9464', values.port)
    .option('--host <address>', 'default: 127.0.0.1; in a container 0.0.0.0')
    .action((_: unknown, command: Command) => relay(command.optsWithGlobals()))
    .addHelpText('after', examples('relay --config malote.config.js', 'relay --config malote.config.js --host 0.0.0.0'))
}

function addConsoleVerb(program: Command, serve: RunConsole): void {
  program
    .command('console')
    .description('serve a page that shows what is wrong and what mends it')
    .option('--allow-actions', 'let it replay, discard, release, pause and resume; default: it only shows')
    .option('--port <port>', 'default: 9465; 0 takes any', values.port)
    .option('--host <address>', 'default: 127.0.0.1; any other needs the variable MALOTE_CONSOLE_TOKEN')
    .option('--answer-to <name...>', 'host names it answers to; default: those of loopback, or any with a token')
    .action((_: unknown, command: Command) => serve(command.optsWithGlobals()))
    .addHelpText(
      'after',
      examples('console', 'console --allow-actions', 'console --host 10.0.0.7 --answer-to ops.example.com'),
    )
}

function addLookingVerbs(program: Command, verb: AddVerb): void {
  verb(program, 'status', 'what waits and why, who relays, what went out', looking.status)
    .option('--watch', 'look again every two seconds')
    .addHelpText('after', examples('status', 'status --watch'))
  verb(program, 'doctor', 'what is wrong, since when, and what mends it', looking.doctor)
    .addOption(new Option('--as <purpose>', 'what this role is for; default: relay').choices(rolePurposes))
    .addHelpText('after', examples('doctor', 'doctor --json', 'doctor --as reader'))
  verb(program, 'drain', 'wait until everything from before now is at the broker', looking.drain)
    .addOption(new Option('--until <time>', 'now').choices(['now']).default('now'))
    .option('--topic <topic>', 'default: all')
    .option('--timeout <seconds>', 'default: 300', values.timeout)
    .addHelpText('after', examples('drain --until now', 'drain --topic orders --timeout 60'))
  verb(program, 'audit', 'who decided what, newest first', looking.audit)
    .option('--limit <count>', 'default: 100', values.count)
    .addHelpText('after', examples('audit', 'audit --limit 10 --json'))
  const messages = program.command('messages').description('messages that are not published')
  verb(messages, 'list', 'oldest first, without bodies', looking.listMessages)
    .option('--topic <topic>')
    .option('--type <type>')
    .option('--key <key>')
    .addOption(new Option('--state <state>', 'default: all but archived').choices(messageStates))
    .option('--failure <code>', 'the last failure')
    .addOption(new Option('--death-reason <reason>').choices(deathReasons))
    .option('--since <time>', 'added at or after; archived: published', values.instant)
    .option('--until <time>', 'added before; archived: published', values.instant)
    .option('--limit <count>', 'default: 100', values.count)
    .addHelpText(
      'after',
      examples(
        'messages list --topic orders --state waiting',
        'messages list --failure THROTTLED --since 2026-11-28T03:00:00Z',
        'messages list --state archived --key account-17 --since 2026-11-28T00:00:00Z',
      ),
    )
  verb(messages, 'show', 'one: what it waits for, and its failures', looking.showMessage)
    .argument('<message-id>')
    .addHelpText('after', examples('messages show 0198b1a0-0000-7000-8000-000000000001'))
}

function addHoldingVerbs(program: Command, verb: AddVerb): void {
  const keys = program.command('held-keys').description('ordering keys that wait for an operator')
  verb(keys, 'list', 'oldest first', looking.listHeldKeys).addHelpText('after', examples('held-keys list'))
  verb(keys, 'hold', 'publish nothing of a key until it is released', deciding.holdKey)
    .argument('<topic>')
    .argument('<key>')
    .addHelpText('after', examples('held-keys hold orders account-17 --reason "under review"'))
  const topics = program.command('topics').description('topics that stand still because an operator said so')
  verb(topics, 'list', 'oldest first', deciding.listPausedTopics).addHelpText('after', examples('topics list'))
  verb(topics, 'pause', 'publish nothing of a topic; messages go on being added', deciding.pauseTopic)
    .argument('<topic>')
    .addHelpText('after', examples('topics pause orders --reason "the ledger moves house"'))
  verb(topics, 'resume', 'go on from where it stopped', deciding.resumeTopic)
    .argument('<topic>')
    .addHelpText('after', examples('topics resume orders --reason "moved"'))
  verb(keys, 'release', 'go on without the dead letter', deciding.releaseHeldKey)
    .argument('<topic>')
    .argument('<key>')
    .addHelpText('after', examples('held-keys release orders account-17 --reason "reviewed"'))
}

function addDecidingVerbs(program: Command, verb: AddVerb): void {
  const letters = program.command('dead-letters').description('messages that could not be published')
  const filtered = (command: Command): Command =>
    command
      .option('--topic <topic>')
      .option('--type <type>')
      .addOption(new Option('--death-reason <reason>').choices(deathReasons))
      .option('--key <key>')
      .option('--since <time>', 'died at or after', values.instant)
      .option('--limit <count>', 'default: 100', values.count)
  filtered(verb(letters, 'list', 'newest first, without bodies', deciding.listDeadLetters)).addHelpText(
    'after',
    examples('dead-letters list', 'dead-letters list --topic orders --since 2026-11-28T03:00:00Z'),
  )
  verb(letters, 'show', 'one, with its failures; its body with --json', deciding.showDeadLetter)
    .argument('<id>')
    .addHelpText('after', examples('dead-letters show 17', 'dead-letters show 17 --json'))
  const ids = (): Argument => new Argument('[id...]', 'as `malote dead-letters list` shows them')
  filtered(verb(letters, 'replay', 'back to its old place in the order; frees its key', deciding.replay))
    .addArgument(ids())
    .option('--explain', 'change nothing; show what each consumer would do with it')
    .option('--force', 'also what an inbox has forgotten; needs --reason')
    .addHelpText(
      'after',
      examples(
        'dead-letters replay 17',
        'dead-letters replay --topic orders --limit 10',
        'dead-letters replay 17 --explain',
      ),
    )
  filtered(verb(letters, 'discard', 'delete it; frees its key', deciding.discard))
    .addArgument(ids())
    .addHelpText('after', examples('dead-letters discard 17 --reason "test data"'))
  verb(program, 'purge', 'delete for ever what is old, in short transactions', purge)
    .addOption(new Option('--only <what>', 'what to purge').choices(purged).default('dead-letters'))
    .option('--older-than <days>', 'how old; keys know themselves when they expire', values.days)
    .addOption(new Option('--profile <profile>', 'of the inbox; default: simple').choices(['simple', 'partitioned']))
    .addHelpText(
      'after',
      examples(
        'purge --older-than 90 --reason "retention policy"',
        'purge --only archive --older-than 30',
        'purge --only keys',
      ),
    )
}

function addConsumerVerbs(program: Command, verb: AddVerb): void {
  const streams = program.command('held-streams').description('streams that consumers stopped behind a dead letter')
  verb(streams, 'list', 'oldest first', listHeldStreams)
    .option('--consumer <name>')
    .option('--limit <count>', 'default: 100', values.count)
    .addHelpText('after', examples('held-streams list', 'held-streams list --consumer ledger'))
  verb(streams, 'release', 'let the stream go on, in order', releaseHeldStream)
    .argument('<consumer>')
    .argument('<topic>')
    .argument('<key>')
    .option('--retry', 'with the dead letter first')
    .option('--discard', 'without the dead letter, which is deleted')
    .addHelpText('after', examples('held-streams release ledger orders order-17 --retry'))
  program
    .command('redrive')
    .description("bring consumers' dead letters back, in order per stream; needs no database")
    .addOption(
      new Option('--broker <name>', 'where they lie').choices(['sqs', 'rabbitmq', 'kafka']).makeOptionMandatory(),
    )
    .requiredOption('--from <place>', 'queue URL, queue or topic that holds the dead letters')
    .option('--to <place>', 'where they go; default: RabbitMQ the queue without ".dead", Kafka where each came from')
    .option('--url <address>', 'amqp://…, host:port of Kafka, or the endpoint of an SQS emulator')
    .option('--where <term...>', 'reason=…, topic=…, source=…, error=… (contains): all must hold')
    .option('--limit <count>', 'default: all', values.anyCount)
    .option('--dry-run', 'only count')
    .action(async (_: unknown, command: Command) => {
      const flags = command.optsWithGlobals<CommonFlags & RedriveFlags>()
      process.exitCode = await redrive({ flags, output: createOutput(flags.json === true) })
    })
    .addHelpText(
      'after',
      examples('redrive --broker kafka --url localhost:9092 --from orders.dead --where reason=MAX_ATTEMPTS'),
    )
}
