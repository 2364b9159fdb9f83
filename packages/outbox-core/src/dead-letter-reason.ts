/**
 * Why a message is a dead letter. `MAX_ATTEMPTS`: every attempt failed. `PERMANENT`: no attempt would ever succeed. `POISON`: processes
 * died while they worked on it; only a relay, or a consumer with a `store`, can tell. `UNDECODABLE`: a consumer cannot read it.
 */
export type DeadLetterReason = 'MAX_ATTEMPTS' | 'PERMANENT' | 'UNDECODABLE' | 'POISON'

/** The reasons of a relay. It never reads what is in a body, so nothing is undecodable for it. */
export type RelayDeadLetterReason = Exclude<DeadLetterReason, 'UNDECODABLE'>
