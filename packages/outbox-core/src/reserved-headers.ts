/**
 * Whether a header name belongs to this library or to CloudEvents: `malote-…`, and what the CloudEvents bindings put before attribute
 * names (`ce-`, `ce_`, `cloudEvents:`, `cloudEvents_`). A header of such a name could change whose message it is, or its attempts.
 */
export function isReservedHeader(name: string): boolean {
  const first = name.charCodeAt(0) | 0x20
  // Most names end here: tested for every header of every message.
  if (first !== letterC && first !== letterM) return false
  return /^(?:malote-|ce[-_]|cloudevents[:_])/i.test(name)
}

const letterC = 'c'.charCodeAt(0)
const letterM = 'm'.charCodeAt(0)
