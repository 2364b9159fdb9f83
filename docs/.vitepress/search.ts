/** How the site searches: read by the site, and by scripts/search-check.mjs, which asks what a reader asks. */
export const searchOptions: {
  readonly fuzzy: number
  readonly prefix: boolean
  readonly boost: Readonly<Record<string, number>>
  readonly boostDocument: (id: string) => number
} = {
  fuzzy: 0.2,
  prefix: true,
  boost: { title: 4, titles: 2, text: 1 },
  // Guides before why something was decided, before symbols, and before measurements, whose headings are names of benchmarks. The site takes
  // this function as text: it uses nothing from outside.
  boostDocument: (id) => (/\/(?:decisions|api)\/|\/(?:performance|records|conformance)(?:#|$)/.test(id) ? 0.2 : 1),
}
