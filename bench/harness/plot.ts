import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { Answer, Figure } from './benchmark.ts'
import { round } from './table.ts'

const ours = '#1b6ca8'
const theirs = '#b8bfc6'

interface Bar {
  readonly contestant: string
  readonly median: number
  readonly min: number
  readonly max: number
  readonly label: string
  readonly isOurs: boolean
}

/** Draws one question as SVG: a bar for each contestant's median, a line from its smallest to its largest sample. */
export async function plot(question: string, { figures }: Answer): Promise<string> {
  const byUnit = Map.groupBy(Object.entries(figures), ([, figure]) => figure.unit)
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: { text: question, anchor: 'start', fontSize: 14, limit: 760, offset: 12 },
    background: 'white',
    padding: 12,
    config: { font: 'sans-serif', view: { stroke: null } },
    resolve: { scale: { x: 'independent', y: 'independent' } },
    vconcat: [...byUnit].map(([unit, entries]) => bars(unit, entries)),
  }
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG()
}

type Panel = Extract<TopLevelSpec, { vconcat: unknown }>['vconcat'][number]

function bars(unit: string, entries: readonly (readonly [string, Figure])[]): Panel {
  const values: Bar[] = entries.map(([contestant, { median, min, max }]) => ({
    contestant,
    median,
    min,
    max,
    label: round(median),
    isOurs: isOurs(contestant, entries.length),
  }))
  const y = { field: 'contestant', type: 'nominal', sort: null, axis: { title: null, labelLimit: 260 } } as const
  return {
    width: 460,
    height: { step: 26 },
    data: { values },
    layer: [
      {
        mark: { type: 'bar', height: 16 },
        encoding: {
          y,
          x: { field: 'median', type: 'quantitative', axis: { title: unit, grid: true, tickCount: 6 } },
          color: { condition: { test: 'datum.isOurs', value: ours }, value: theirs },
        },
      },
      {
        mark: { type: 'rule', strokeWidth: 1.5, color: '#333333' },
        encoding: { y, x: { field: 'min', type: 'quantitative' }, x2: { field: 'max' } },
      },
      {
        mark: { type: 'text', align: 'left', dx: 6, dy: -1, color: '#333333' },
        encoding: { y, x: { field: 'max', type: 'quantitative' }, text: { field: 'label' } },
      },
    ],
  }
}

/** What we compare ourselves with is grey. */
function isOurs(contestant: string, contestants: number): boolean {
  const rivals =
    /^(?:graphile-worker|river|pg-boss|pg-transactional-outbox|server-limit|raw-|order (?:alone|in one statement|and (?:a row|raw))|no notify|always notify|.* client alone|bare|by hand|powertools|node-idempotency|the SDK alone|sqs-consumer|predecessor)/
  return contestants === 1 || !rivals.test(contestant)
}
