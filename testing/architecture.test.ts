import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, it } from 'vitest'

const packages = fileURLToPath(new URL('../packages/', import.meta.url))

interface SourceFile {
  /** From the folder of packages. */
  readonly path: string
  readonly text: string
  readonly lines: number
  /** Files of the same package that it imports or passes on, types included. */
  readonly imports: readonly string[]
  /** Everything else that it imports. */
  readonly foreign: readonly string[]
  /** Statements that it writes, with their lines. */
  readonly statements: readonly string[]
  /** Where it asks for the time or sets a timer. */
  readonly timers: readonly string[]
}

/**
 * Where a statement may be written, and why not in a folder `postgres`. A folder ends with a slash. What is no statement but looks
 * like one is none of these: see `isStatement`.
 */
const statementHomes: Readonly<Record<string, string>> = {
  'idempotency/src/database/': 'is this package’s folder "postgres"',
  'idempotency/src/inbox/statements.ts': 'the inbox and its SQL are one concept',
  'idempotency/src/inbox/consumer-statements.ts': 'the inbox and its SQL are one concept',
  'idempotency/src/http/key-statements.ts': 'keys and their SQL are one concept',
  'idempotency/src/http/lease/stores/lease-statements.ts': 'one of several stores, of which the others know no SQL',
  'outbox-core/src/clients/': 'begin and end transactions, each in the words of its database client',
  'outbox-core/src/doctor/': 'tells an operator what to type, and runs none of it',
  'outbox-core/src/testing/client-conformance.ts': 'plays the application that shares its transaction',
}

/** Where time is asked for outside of `clock.ts`, and why. */
const timerHomes: Readonly<Record<string, string>> = {
  'idempotency/src/client.ts': 'runs in browsers, where it imports nothing',
  'outbox-core/src/testing/manual-clock.ts': 'is a clock',
}

/** What each package may import of the others. */
const allowedPackages: Readonly<Record<string, RegExp>> = {
  'outbox-core': /^$/,
  'adapter-kafka': /^@malote\/outbox-core(\/adapter)?$/,
  'adapter-rabbitmq': /^@malote\/outbox-core(\/adapter)?$/,
  'adapter-sqs': /^@malote\/outbox-core(\/adapter)?$/,
  idempotency: /^@malote\/outbox-core(\/(adapter|otel|postgres|testing))?$/,
}

function parse(path: string, text: string): SourceFile {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true)
  const imports: string[] = []
  const foreign: string[] = []
  const statements: string[] = []
  const timers: string[] = []
  const place = (node: ts.Node): string =>
    `${path}:${String(source.getLineAndCharacterOfPosition(node.getStart()).line + 1)}`
  const visit = (node: ts.Node): void => {
    const module = importedBy(node)
    if (module?.startsWith('.') === true) imports.push(normalize(join(dirname(path), module)))
    else if (module !== undefined) foreign.push(module)
    if (isStatement(node)) statements.push(place(node))
    if (asksForTime(node)) timers.push(`${place(node)} ${node.getText()}`)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return { path, text, lines: text.split('\n').length - 1, imports, foreign, statements, timers }
}

function importedBy(node: ts.Node): string | undefined {
  const named =
    ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
      ? node.moduleSpecifier
      : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
        ? node.argument.literal
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : undefined
  return named !== undefined && ts.isStringLiteralLike(named) ? named.text : undefined
}

/** How a statement of ours begins. English sentences begin with some of these words too, but go on in another way. */
const beginnings = [
  String.raw`select\s+(\$?\w+(\.\w+)?\s*(,|$|from\s)|\w+\(|\*|exists|distinct|count|\d|')`,
  String.raw`with\s+(\S+\s+as\b|$)`,
  String.raw`insert into|update\s+\S*\s*(set\b|$)|delete from|truncate\b|lock table`,
  String.raw`begin (isolation|read|;)|savepoint\b|rollback to|commit prepared|set (local|session)\b`,
  String.raw`create (table|index|schema|or replace|unique)|alter (table|system|sequence)|drop (table|index)`,
  String.raw`do \$|listen "|notify "`,
]
const beginsAStatement = new RegExp(String.raw`^\s*(${beginnings.join('|')})`, 'i')

/** A text that begins like a statement, or one word that begins or ends a transaction, run as a query. */
function isStatement(node: ts.Node): boolean {
  if (!ts.isStringLiteralLike(node) && !ts.isTemplateHead(node)) return false
  if (beginsAStatement.test(node.text)) return true
  const isRun = ts.isCallExpression(node.parent) && node.parent.expression.getText().endsWith('query')
  return isRun && /^(begin|commit|rollback)$/i.test(node.text)
}

function asksForTime(node: ts.Node): boolean {
  if (ts.isIdentifier(node)) return /^set(Timeout|Interval|Immediate)$/.test(node.text)
  if (ts.isPropertyAccessExpression(node))
    return /^(Date\.now|performance\.now|AbortSignal\.timeout)$/.test(node.getText())
  return ts.isNewExpression(node) && node.expression.getText() === 'Date' && (node.arguments?.length ?? 0) === 0
}

const files = readdirSync(packages, { recursive: true, encoding: 'utf8' })
  .filter((path) => /^[^/]+\/src\/.*\.ts$/.test(path))
  .map((path) => parse(path, readFileSync(join(packages, path), 'utf8')))

/** Files, or folders, that reach themselves by way of others. Each group is named once. */
function circlesIn(graph: ReadonlyMap<string, Iterable<string>>): readonly (readonly string[])[] {
  const [numbers, lowest] = [new Map<string, number>(), new Map<string, number>()]
  const open: string[] = []
  const circles: string[][] = []
  const walk = (node: string): number => {
    const number = numbers.size
    numbers.set(node, number)
    lowest.set(node, number)
    open.push(node)
    for (const next of graph.get(node) ?? []) {
      const reached = numbers.has(next) ? (open.includes(next) ? (numbers.get(next) as number) : number) : walk(next)
      lowest.set(node, Math.min(lowest.get(node) as number, reached))
    }
    if (lowest.get(node) === number) {
      const group = open.splice(open.indexOf(node))
      if (group.length > 1) circles.push(group.sort())
    }
    return lowest.get(node) as number
  }
  for (const node of graph.keys()) if (!numbers.has(node)) walk(node)
  return circles
}

const isIn = (path: string, home: string): boolean => (home.endsWith('/') ? path.startsWith(home) : path === home)

/** What stands outside of its home, and homes in which nothing of the kind stands: an exception that nobody needs any more. */
function strays(
  found: (file: SourceFile) => readonly string[],
  isHome: (path: string) => boolean,
  exceptions: Readonly<Record<string, string>>,
): readonly string[] {
  const homes = Object.keys(exceptions)
  const outside = files.filter(({ path }) => !isHome(path))
  const unneeded = homes.filter((home) => !outside.some((file) => isIn(file.path, home) && found(file).length > 0))
  return [
    ...outside.filter(({ path }) => !homes.some((home) => isIn(path, home))).flatMap(found),
    ...unneeded.map((home) => `no exception needed: ${home}`),
  ]
}

it('SQL is written in folders "postgres" only', () => {
  const isHome = (path: string): boolean => path.includes('/postgres/')
  expect(strays(({ statements }) => statements, isHome, statementHomes)).toEqual([])
})

it('only clock.ts asks for the time and sets timers', () => {
  const isHome = (path: string): boolean => basename(path) === 'clock.ts'
  expect(strays(({ timers }) => timers, isHome, timerHomes)).toEqual([])
})

it('no file imports itself by way of others, types included', () => {
  expect(circlesIn(new Map(files.map(({ path, imports }) => [path, imports])))).toEqual([])
})

it('no two folders import each other, unless one lies in the other', () => {
  const pairs = files.flatMap(({ path, imports }) => imports.map((to) => `${dirname(path)} → ${dirname(to)}`))
  const all = new Set(pairs)
  const mutual = [...all].filter((pair) => {
    const [from, to] = pair.split(' → ') as [string, string]
    return from < to && all.has(`${to} → ${from}`) && !`${to}/`.startsWith(`${from}/`)
  })
  expect(mutual).toEqual([])
})

it('a package imports only what another one offers it', () => {
  const wrong = files.flatMap(({ path, imports, foreign }) => {
    const [name] = path.split('/') as [string]
    const outside = imports.filter((to) => !to.startsWith(`${name}/src/`))
    const unasked = foreign.filter((from) => from.startsWith('@malote/') && !allowedPackages[name]?.test(from))
    return [...outside, ...unasked].map((from) => `${path} → ${from}`)
  })
  expect(wrong).toEqual([])
})

it('no file has more than three hundred lines', () => {
  const tooLong = files.filter(({ lines }) => lines > 300)
  expect(tooLong.map(({ path, lines }) => `${path} ${String(lines)}`)).toEqual([])
})

it('finds what it looks for', () => {
  const text = [
    `import { a } from './a.ts'`,
    `export type { B } from '../b.ts'`,
    `const c = await import('./c.ts')`,
    `type D = import('./d.ts').D`,
    `import kafka from 'kafkajs'`,
    `await db.query('commit')`,
    'await db.query(`update ${table} set x = 1`)',
    'const text = `\\n  select m.seq, m.lane from messages as m`',
    `outbox.add(tx, message, { ordering: 'commit' })`,
    `throw new Error('with a note it is too long: select another queue')`,
    `setTimeout(f, Date.now())`,
    `new Date(0)`,
  ].join('\n')
  const { imports, foreign, statements, timers } = parse('x/src/y/z.ts', text)
  expect(imports).toEqual(['x/src/y/a.ts', 'x/src/b.ts', 'x/src/y/c.ts', 'x/src/y/d.ts'])
  expect(foreign).toEqual(['kafkajs'])
  expect(statements).toEqual([6, 7, 8].map((line) => `x/src/y/z.ts:${String(line)}`))
  expect(timers).toEqual(['x/src/y/z.ts:11 setTimeout', 'x/src/y/z.ts:11 Date.now'])
  expect(
    circlesIn(
      new Map([
        ['a', ['b']],
        ['b', ['c', 'd']],
        ['c', ['b']],
        ['d', []],
      ]),
    ),
  ).toEqual([['b', 'c']])
})

/** What every adapter has, by file, and what a reader finds there. `*` stands for the broker's name. */
const places: Readonly<Record<string, readonly string[]>> = {
  'index.ts': [],
  'options.ts': ['resolve*ConsumerOptions'],
  'publisher.ts': ['create*Publisher'],
  'consumer.ts': ['create*Consumer'],
  'encode.ts': ['encodeMessage'],
  'decode.ts': ['decodeMessage'],
  'classify.ts': [],
  // One message, from its receipt to its end.
  'handle-message.ts': [],
  'dead-letter.ts': ['sendDeadLetter'],
  'redrive.ts': ['redriveDeadLetters'],
}

it.each(['Kafka', 'Rabbitmq', 'Sqs'])(
  'a reader who knows one adapter finds ten places in another by name: %s',
  (broker) => {
    const folder = join(packages, `adapter-${broker.toLowerCase()}`, 'src')
    const missing = Object.entries(places).flatMap(([file, names]) => {
      const text = readFileSync(join(folder, file), 'utf8')
      const wanted = names.map((name) => name.replace('*', broker))
      return wanted.filter((name) => !new RegExp(`^export (?:async )?function ${name}\\b`, 'm').test(text))
    })
    const hearts = readdirSync(folder).filter(
      (file) => file.endsWith('.ts') && readFileSync(join(folder, file), 'utf8').includes('rocessor.process('),
    )

    expect(missing).toEqual([])
    expect(hearts).toEqual(['handle-message.ts'])
  },
)
