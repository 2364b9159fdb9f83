/** One thing that can happen in a state. */
export interface Step<State> {
  readonly name: string
  readonly next: State
  /** False for faults and for choices a system may never make: liveness must not depend on them. */
  readonly isProgress: boolean
  /** What this step breaks, when it breaks something. */
  readonly violation?: string | undefined
}

/** A system as all its states and steps. States are immutable; two states are the same when their keys are. */
export interface Model<State> {
  readonly initial: State
  steps(state: State): readonly Step<State>[]
  key(state: State): string
  /** Everything that was to happen has happened. From every state such a state must be reachable by progress alone. */
  isDone(state: State): boolean
}

export interface Exploration {
  readonly states: number
  readonly transitions: number
  /** The first violation in breadth-first order, so its trace is as short as any. Null: none in the whole state space. */
  readonly violation: { readonly property: string; readonly trace: readonly string[] } | null
}

/**
 * Visits every reachable state, breadth first, and checks two things: no step breaks a property, and no state is a trap from
 * which progress (without further faults) cannot finish. The second is liveness under a fair scheduler.
 *
 * @throws Error above `maxStates`: an unfinished exploration proves nothing
 */
export function explore<State>(model: Model<State>, maxStates = 3_000_000): Exploration {
  const visited: Visited<State> = { states: [], parents: [], names: [], index: new Map(), from: [], to: [] }
  let transitions = 0
  visit(visited, model, model.initial, -1, '')
  for (let at = 0; at < visited.states.length; at++) {
    for (const step of model.steps(visited.states[at] as State)) {
      transitions++
      if (step.violation !== undefined) {
        const trace = [...traceTo(visited, at), step.name]
        return { states: visited.states.length, transitions, violation: { property: step.violation, trace } }
      }
      const to = visit(visited, model, step.next, at, step.name)
      if (!step.isProgress || to === at) continue
      visited.from.push(at)
      visited.to.push(to)
    }
    if (visited.states.length > maxStates)
      throw new Error(`more than ${String(maxStates)} states: make the model smaller`)
  }
  const trap = firstTrap(visited, model)
  return {
    states: visited.states.length,
    transitions,
    violation:
      trap === -1 ? null : { property: 'a message that can never be published', trace: traceTo(visited, trap) },
  }
}

interface Visited<State> {
  readonly states: State[]
  readonly parents: number[]
  readonly names: string[]
  readonly index: Map<string, number>
  /** Edges from state to state by progress: where each begins and where it ends. */
  readonly from: number[]
  readonly to: number[]
}

function visit<State>(
  visited: Visited<State>,
  model: Model<State>,
  state: State,
  parent: number,
  name: string,
): number {
  const key = model.key(state)
  const known = visited.index.get(key)
  if (known !== undefined) return known
  const index = visited.states.length
  visited.index.set(key, index)
  visited.states.push(state)
  visited.parents.push(parent)
  visited.names.push(name)
  return index
}

function traceTo<State>(visited: Visited<State>, state: number): string[] {
  const trace: string[] = []
  for (let at = state; at > 0; at = visited.parents[at] as number) trace.unshift(visited.names[at] as string)
  return trace
}

/** Walks progress backwards from the finished states; the first state not met is a trap. -1: there is none. */
function firstTrap<State>(visited: Visited<State>, model: Model<State>): number {
  // The edges into a state as a list: its first edge, and for each edge the next. An array for each state would be slow.
  const first = new Int32Array(visited.states.length).fill(-1)
  const next = visited.to.map((to, edge) => {
    const before = first[to]
    first[to] = edge
    return before
  })
  const finishes = new Uint8Array(visited.states.length)
  const open: number[] = []
  const mark = (state: number): void => {
    if (finishes[state] === 1) return
    finishes[state] = 1
    open.push(state)
  }
  for (const [index, state] of visited.states.entries()) if (model.isDone(state)) mark(index)
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (let edge = first[at] ?? -1; edge !== -1; edge = next[edge] ?? -1) mark(visited.from[edge] as number)
  }
  return finishes.indexOf(0)
}
