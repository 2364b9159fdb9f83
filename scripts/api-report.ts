// Run after changing what a package exports: writes docs/api-report, one file for each package. `--check` only says what differs (CI does).
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('..', import.meta.url))

interface Declarations {
  /** By name, what a user's compiler sees of it. */
  readonly own: ReadonlyMap<string, string>
  /** By exported name: the file it comes from, and its name there. */
  readonly others: ReadonlyMap<string, { readonly file: string; readonly name: string }>
}

const known = new Map<string, Declarations>()

/** Every exported declaration is annotated (`isolatedDeclarations`), so one file is read at a time and nothing is inferred. */
function declarationsOf(file: string): Declarations {
  const seen = known.get(file)
  if (seen !== undefined) return seen
  const compilerOptions = { removeComments: true, module: ts.ModuleKind.NodeNext, allowImportingTsExtensions: true }
  const { outputText } = ts.transpileDeclaration(readFileSync(file, 'utf8'), { fileName: file, compilerOptions })
  const own = new Map<string, string>()
  const others = new Map<string, { readonly file: string; readonly name: string }>()
  for (const statement of ts.createSourceFile(file, outputText, ts.ScriptTarget.Latest).statements) {
    const text = outputText.slice(statement.pos, statement.end).trim()
    if (ts.isExportDeclaration(statement) && statement.exportClause !== undefined) {
      const from = statement.moduleSpecifier
      const isForeign = from !== undefined && ts.isStringLiteral(from) && !from.text.startsWith('.')
      const source = from !== undefined && ts.isStringLiteral(from) ? join(dirname(file), from.text) : file
      if (ts.isNamedExports(statement.exportClause))
        for (const { name, propertyName } of statement.exportClause.elements)
          if (isForeign) own.set(name.text, text)
          else others.set(name.text, { file: source, name: (propertyName ?? name).text })
    } else if (ts.isVariableStatement(statement))
      for (const { name } of statement.declarationList.declarations) own.set((name as ts.Identifier).text, text)
    else if ('name' in statement && ts.isIdentifier(statement.name as ts.Node)) {
      const { text: name } = statement.name as ts.Identifier
      own.set(name, [own.get(name), text].filter((part) => part !== undefined).join('\n'))
    }
  }
  const declarations = { own, others }
  known.set(file, declarations)
  return declarations
}

function declarationOf(file: string, name: string): string {
  const { own, others } = declarationsOf(file)
  const other = others.get(name)
  if (other !== undefined && (other.file !== file || other.name !== name)) return declarationOf(other.file, other.name)
  const text = own.get(name)
  if (text === undefined) throw new Error(`${file} declares no ${name}`)
  return text
}

function reportOf(folder: string): string {
  const home = join(root, 'packages', folder)
  const manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
    name: string
    exports: Record<string, string | Record<string, string>>
  }
  const entries = Object.entries(manifest.exports).flatMap(([entry, target]) =>
    typeof target === 'string'
      ? []
      : [{ name: manifest.name + entry.slice(1), file: join(home, target['@malote/source'] as string) }],
  )
  const sections = entries.map(({ name, file }) => {
    const { own, others } = declarationsOf(file)
    const isExported = (text: string): boolean => text.startsWith('export ')
    const names = [...others.keys(), ...[...own].filter(([, text]) => isExported(text)).map(([named]) => named)]
    const texts = [...new Set(names)]
      .sort()
      .map((one) => declarationOf(file, one).replaceAll(/^export |declare /gm, ''))
    return `## ${name}\n\n\`\`\`typescript\n${texts.join('\n\n')}\n\`\`\`\n`
  })
  return `# Public surface of ${manifest.name}\n\nWritten by \`npm run api-report\`. A change here is a change for users.\n\n${sections.join('\n')}`
}

const isCheck = process.argv.includes('--check')
for (const folder of readdirSync(join(root, 'packages')).filter((folder) => folder !== 'create-malote')) {
  const file = join(root, 'docs/api-report', `${folder}.md`)
  const report = reportOf(folder)
  if (!isCheck) writeFileSync(file, report)
  else if (readFileSync(file, 'utf8') !== report) {
    console.error(`the public surface of ${folder} is not what docs/api-report/${folder}.md says: npm run api-report`)
    process.exitCode = 1
  }
}
