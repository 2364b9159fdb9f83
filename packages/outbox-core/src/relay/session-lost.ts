/** Why a session ended before it was stopped. */
export class SessionLost extends Error {
  readonly reason: 'lease-expired' | 'fenced' | 'connection-lost'

  constructor(reason: SessionLost['reason'], cause: unknown) {
    super(`the relay's session ended: ${reason}`, { cause })
    this.reason = reason
  }
}
