import type { Publisher } from '../publisher.ts'

/** The route of a publisher that leads to one broker, and of topics without a route. */
export const onlyRoute = ''

/** A publisher decides anew for topics beyond this many: names of topics are few, unless somebody puts a number in each. */
const maxRemembered = 10_000

/** Which way topics go, as the publisher says. Asked for each message, so answers are remembered. */
export class Routes {
  readonly #publisher: Publisher
  readonly #concurrency: number
  readonly #nameOf = new Map<string, string>()
  readonly #concurrencyOf = new Map<string, number>()

  /** @param concurrency - publishes under way at the same time on a route that says no other number */
  constructor(publisher: Publisher, concurrency: number) {
    this.#publisher = publisher
    this.#concurrency = concurrency
  }

  readonly of = (topic: string): string => {
    if (this.#publisher.routeOf === undefined) return onlyRoute
    let name = this.#nameOf.get(topic)
    if (name === undefined) {
      const route = this.#publisher.routeOf(topic)
      name = route?.name ?? onlyRoute
      if (this.#nameOf.size >= maxRemembered) this.#nameOf.clear()
      this.#nameOf.set(topic, name)
      if (route?.concurrency !== undefined) this.#concurrencyOf.set(name, route.concurrency)
    }
    return name
  }

  concurrencyOf(route: string): number {
    return this.#concurrencyOf.get(route) ?? this.#concurrency
  }
}
