import { invalidOption, numberOption } from './options.ts'
import type { OutboxMessage } from './message.ts'
import type { Publisher, PublishFailure, PublishResult, PublishRoute } from './publisher.ts'

/** One of the ways that messages leave an outbox. */
export interface Route {
  /**
   * Topics that go this way: names, of which one that ends in `*` stands for all that begin like it, or a function. A function
   * must answer the same for a topic each time, or the order of its messages is lost.
   */
  readonly topics: readonly string[] | ((topic: string) => boolean)
  readonly publisher: Publisher
  /** For operators: outages and status name it. @defaultValue the publisher's name */
  readonly name?: string
  /** Publishes under way at the same time on this route. @defaultValue the relay's option `concurrency`: 4 */
  readonly concurrency?: number
}

interface ResolvedRoute extends PublishRoute {
  readonly publisher: Publisher
  readonly matches: (topic: string) => boolean
}

/**
 * One publisher for several brokers: each topic goes the first way that names it, so that SNS and SQS, or Kafka and RabbitMQ, leave
 * one outbox, in order per topic and ordering key.
 *
 * The relay knows the routes: each has its own batches, its own places in flight and its own breaker, so one whose broker is away or
 * hangs delays no other. A topic without a route is `unavailable`: its messages wait, and nobody pays, until a relay with
 * a route for it runs. To send one message to two brokers, add it under two topics.
 *
 * @throws OutboxError `INVALID_OPTION` when there is no route, or two have one name
 */
export function createRoutingPublisher(routes: readonly Route[]): Publisher {
  if (!Array.isArray(routes) || routes.length === 0)
    throw invalidOption('routes', routes, 'at least one route: { topics, publisher }')
  const resolved = routes.map((route, at) => resolve(route, at))
  const names = resolved.map(({ name }) => name)
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined)
    throw invalidOption('name', twice, 'different for each route: outages and status tell routes apart by it')
  return new RoutingPublisher(resolved)
}

class RoutingPublisher implements Publisher {
  readonly name: string
  readonly #routes: readonly ResolvedRoute[]

  constructor(routes: readonly ResolvedRoute[]) {
    this.#routes = routes
    this.name = routes.map(({ name }) => name).join('+')
  }

  routeOf(topic: string): ResolvedRoute | null {
    return this.#routes.find(({ matches }) => matches(topic)) ?? null
  }

  /** A batch of several routes waits for the slowest of them: the relay gives none. */
  async publish(batch: readonly OutboxMessage[], signal: AbortSignal): Promise<readonly PublishResult[]> {
    const groups = new Map<ResolvedRoute | null, OutboxMessage[]>()
    for (const message of batch) {
      const route = this.routeOf(message.topic)
      const group = groups.get(route)
      if (group === undefined) groups.set(route, [message])
      else group.push(message)
    }
    const outcomes = await Promise.all(
      [...groups].map(async ([route, messages]): Promise<GroupOutcome> => {
        if (route === null) return { results: messages.map(withoutRoute) }
        try {
          return { results: named(route, await route.publisher.publish(messages, signal)) }
        } catch (error) {
          return { results: messages.map((message) => rejected(route, message, error)), error }
        }
      }),
    )
    const [first] = outcomes
    if (first !== undefined && 'error' in first && outcomes.every((outcome) => 'error' in outcome)) throw first.error
    return outcomes.flatMap(({ results }) => results)
  }

  async close(): Promise<void> {
    const publishers = new Set(this.#routes.map(({ publisher }) => publisher))
    const closing = await Promise.allSettled([...publishers].map((publisher) => publisher.close()))
    for (const outcome of closing) if (outcome.status === 'rejected') throw outcome.reason
  }
}

interface GroupOutcome {
  readonly results: readonly PublishResult[]
  /** The publisher rejected the group as a whole. */
  readonly error?: unknown
}

function resolve({ topics, publisher, name, concurrency }: Route, at: number): ResolvedRoute {
  const where = `routes[${String(at)}]`
  if (typeof (publisher as Partial<Publisher> | undefined)?.publish !== 'function')
    throw invalidOption(`${where}.publisher`, publisher, 'a publisher')
  if (typeof topics !== 'function' && !(Array.isArray(topics) && topics.every((topic) => typeof topic === 'string')))
    throw invalidOption(`${where}.topics`, topics, 'an array of names, or a function of the topic')
  const route = {
    name: name ?? publisher.name,
    publisher,
    matches: typeof topics === 'function' ? topics : matcher(topics),
  }
  if (concurrency === undefined) return route
  return { ...route, concurrency: numberOption(`${where}.concurrency`, concurrency, 4, { min: 1, max: 1_000 }) }
}

function matcher(topics: readonly string[]): (topic: string) => boolean {
  const names = new Set(topics.filter((topic) => !topic.endsWith('*')))
  const beginnings = topics.filter((topic) => topic.endsWith('*')).map((topic) => topic.slice(0, -1))
  return (topic) => names.has(topic) || beginnings.some((beginning) => topic.startsWith(beginning))
}

/** Two brokers may have a queue of one name. */
function named(route: ResolvedRoute, answer: unknown): readonly PublishResult[] {
  if (!Array.isArray(answer))
    throw new TypeError(`the publisher of route "${route.name}" did not resolve with an array`)
  return (answer as readonly PublishResult[]).map((result) => {
    if (result?.status !== 'failed' || result.failure?.kind !== 'unavailable') return result
    const destination = `${route.name}: ${result.failure.destination}`
    return { ...result, failure: { ...result.failure, destination } }
  })
}

function withoutRoute({ id, topic }: OutboxMessage): PublishResult {
  const message = 'no route names this topic: add it to one, and the messages go on'
  return { id, status: 'failed', failure: unavailable(`topic "${topic}"`, 'NO_ROUTE', message) }
}

function rejected(route: ResolvedRoute, { id }: OutboxMessage, error: unknown): PublishResult {
  const words = error instanceof Error ? error.message : String(error)
  return { id, status: 'failed', failure: unavailable(`route "${route.name}"`, 'REJECTED', words) }
}

function unavailable(destination: string, code: string, message: string): PublishFailure {
  return { kind: 'unavailable', destination, code, message }
}
