/** How many times as many cases the properties take: 1 in tests, more in `npm run soak`. */
export const propertyScale: number = Math.max(1, Number(process.env['MALOTE_PROPERTY_SCALE'] ?? 1) || 1)

/** Where a soak begins; null in tests, whose fixed seeds stay theirs. */
export const propertySeed: number | null =
  process.env['MALOTE_PROPERTY_SEED'] === undefined ? null : Number(process.env['MALOTE_PROPERTY_SEED'])

/** @param count - cases that a test takes */
export const propertyRuns = (count: number): number => Math.ceil(count * propertyScale)

/** Seeds of a model that draws its own cases: from 1 in tests, in a soak from its own place and more of them. */
export function modelSeeds(count: number): number[] {
  const runs = propertyRuns(count)
  const first = propertySeed === null ? 1 : 1 + propertySeed * runs
  return Array.from({ length: runs }, (_, index) => first + index)
}
