/**
 * Why a message is a dead letter. `MAX_ATTEMPTS`: every attempt failed. `PERMANENT`: no attempt would ever succeed. `POISON`: processes
 * died while they worked on it; only a relay, or a consumer with a `store`, can tell. `UNDECODABLE`: a consumer cannot read it.
 * `DELIVERY_LIMIT`: the broker put it away by a limit of its own, and no handler may ever have failed.
 */
export type DeadLetterReason = 'MAX_ATTEMPTS' | 'PERMANENT' | 'UNDECODABLE' | 'POISON' | 'DELIVERY_LIMIT'

/** The reasons of a relay. It never reads what is in a body, so nothing is undecodable for it, and no broker puts its messages away. */
export type RelayDeadLetterReason = Exclude<DeadLetterReason, 'UNDECODABLE' | 'DELIVERY_LIMIT'>
