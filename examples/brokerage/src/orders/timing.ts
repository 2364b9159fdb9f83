/** Age at which an order that is not decided goes before a person: five minutes. */
export const defaultOrderTimeoutMs = 300_000

/** Longest pause between two questions to an exchange that does not answer, in first pauses. */
const longest = 30

/** Three more attempts after 2, 4 and 8 seconds when `firstMs` is 2,000; then each twice as late, up to once a minute. */
export function retryDelays(firstMs: number): (tries: number) => number {
  return (tries) => Math.min(firstMs * 2 ** Math.min(tries, 10), firstMs * longest)
}

/** Longest time without a look at an order whose time is up: longer than any pause between two looks, and a timeout besides. */
export function silenceOf(timeoutMs: number, firstMs: number): number {
  return timeoutMs + firstMs * longest
}
