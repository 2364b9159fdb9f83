/** How GitHub names a heading, and so the site: a link to a heading leads there in both. Read by the site, and by the test of links. */
export function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-')
}
