import type { Model } from './explore.ts'

/** A step of a model that a real run is known, or allowed, to have made. Instants in milliseconds; left out: no bound. */
export interface Seen {
  /** As the model names it. */
  readonly step: string
  /** What it may have been instead. */
  readonly or?: string
  /** The earliest instant at which it can have happened. */
  readonly from?: number
  /** The latest. */
  readonly to?: number
  /** Nobody saw whether it happened: it may be left out. */
  readonly maybe?: true
}

export interface Replay {
  /** `refused`: no history of the model looks like this. `undecided`: there were too many to try. */
  readonly verdict: 'accepted' | 'refused' | 'undecided'
  readonly states: number
  /** Accepted: a history of the model that looks like what was seen. Else the longest beginning of one. */
  readonly path: readonly string[]
  /** The certain steps for which no place was found behind that beginning. */
  readonly left: readonly Seen[]
}

export interface ReplayOptions {
  /** Steps that nobody can see: they may happen at any time, as often as they like. */
  readonly isHidden: (step: string) => boolean
  readonly maxStates: number
}

/**
 * Asks whether a real run is one of the model's histories: whether the seen steps, each at an instant within its bounds, and any
 * hidden ones between them, are steps of the model that break no property.
 *
 * Two steps whose bounds overlap may have come in either order; the search tries both.
 */
export function replay<State>(model: Model<State>, seen: readonly Seen[], options: ReplayOptions): Replay {
  const places = seen.map(placed)
  const certain = places.filter(({ isCertain }) => isCertain)
  const byStep = new Map<string, Place[]>()
  for (const place of places) for (const step of place.steps) byStep.set(step, [...(byStep.get(step) ?? []), place])
  const open: Node<State>[] = [
    { state: model.initial, done: 0n, latestFrom: -Infinity, count: 0, before: null, step: '' },
  ]
  const visited = new Set<string>()
  let furthest = open[0] as Node<State>
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    const key = `${node.done.toString(36)} ${model.key(node.state)}`
    if (visited.has(key)) continue
    visited.add(key)
    if (node.count > furthest.count) furthest = node
    if (node.count === certain.length) return result('accepted', node)
    if (visited.size > options.maxStates) return result('undecided', furthest)
    open.push(...followers(node))
  }
  return result('refused', furthest)

  /** The most promising last, because it is tried first: what was seen to happen next, then what is hidden, then guesses. */
  function followers(node: Node<State>): Node<State>[] {
    const found: { readonly node: Node<State>; readonly rank: number }[] = []
    for (const { name, next, violation } of model.steps(node.state)) {
      if (violation !== undefined) continue
      const to = { ...node, state: next, before: node, step: name }
      if (options.isHidden(name)) found.push({ node: to, rank: 1e15 })
      const possible = (byStep.get(name) ?? []).filter((place) => isPossible(node, place))
      for (const place of possible) {
        if (possible.some((other) => isBetter(other, place))) continue
        const { bit, from, isCertain } = place
        const count = node.count + (isCertain ? 1 : 0)
        const done = node.done | bit
        const rank = isCertain ? place.to : 2e15 + from
        found.push({ node: { ...to, done, count, latestFrom: Math.max(node.latestFrom, from) }, rank })
      }
    }
    return found.sort((a, b) => b.rank - a.rank).map((one) => one.node)
  }

  function isPossible({ done, latestFrom }: Node<State>, { bit, from, to }: Place): boolean {
    if ((done & bit) !== 0n || to < latestFrom) return false
    return certain.every((other) => other.to >= from || (done & other.bit) !== 0n)
  }

  function result(verdict: Replay['verdict'], node: Node<State>): Replay {
    const path: string[] = []
    for (let at = node; at.before !== null; at = at.before) path.unshift(at.step)
    const left = certain.filter(({ bit }) => (node.done & bit) === 0n).map(({ index }) => seen[index] as Seen)
    return { verdict, states: visited.size, path, left }
  }
}

interface Place {
  readonly index: number
  readonly steps: readonly string[]
  readonly from: number
  readonly to: number
  readonly isCertain: boolean
  readonly bit: bigint
}

interface Node<State> {
  readonly state: State
  /** Seen steps that have found their place, as bits. */
  readonly done: bigint
  /** The latest of their earliest instants: nothing that must have happened before it may follow. */
  readonly latestFrom: number
  /** How many of them are certain. */
  readonly count: number
  readonly before: Node<State> | null
  readonly step: string
}

/** Of two guesses at the same the one that is over sooner: whoever takes it can still take the other. */
const isBetter = (one: Place, other: Place): boolean =>
  !one.isCertain &&
  !other.isCertain &&
  one.steps.join() === other.steps.join() &&
  one.from <= other.from &&
  one.to <= other.to &&
  (one.from < other.from || one.to < other.to || one.bit < other.bit)

const placed = ({ step, or, from = -Infinity, to = Infinity, maybe }: Seen, index: number): Place => ({
  index,
  steps: or === undefined ? [step] : [step, or],
  from,
  to,
  isCertain: maybe !== true,
  bit: 1n << BigInt(index),
})
