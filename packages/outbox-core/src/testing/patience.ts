/** What waits are multiplied by: never less than 1, also when the variable holds no number. */
export function patience(): number {
  const given = Number(process.env['MALOTE_PATIENCE'])
  return given > 1 && Number.isFinite(given) ? given : 1
}
