import type { Samples } from './statistics.ts'

/**
 * Runs every contestant once per round and turns the order round by round, so that a noisy minute, a warm cache or a
 * busy disk meets all of them.
 */
export async function alternate<Name extends string>(
  rounds: number,
  contestants: Readonly<Record<Name, () => Promise<number>>>,
  log: (line: string) => void = () => {},
): Promise<Samples<Name>> {
  const names = Object.keys(contestants) as Name[]
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? names : names.toReversed()
    for (const name of order) {
      const value = await contestants[name]()
      samples[name].push(value)
      log(`${name}: ${value.toPrecision(4)}`)
    }
  }
  return samples
}
