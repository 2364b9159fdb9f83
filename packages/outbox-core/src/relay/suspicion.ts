/**
 * How the message is found that kills whoever publishes it. Pure.
 *
 * What lies in a lane whose owners died one after the other is published in groups that are named beforehand and have nothing
 * else in flight beside them. If the relay dies, only the group is left under suspicion, and comes again in smaller groups;
 * a message that was alone in its group pays an attempt. So a backlog flows at nearly its usual speed while it is searched,
 * and the culprit costs two deaths more than with groups of one.
 */

/** Messages in the first groups. Large enough that naming them costs little, small enough that two more deaths leave one. */
const firstGroup = 64

/** Groups are this many times smaller after each death. */
const narrowing = 8

/**
 * The most messages that may be in flight while this one is, itself included; Infinity for whoever is under no suspicion.
 *
 * @param diedAmong - size of the group with which a relay died publishing it last, or null
 */
export function maxTogetherOf(diedAmong: number | null, isLaneSuspected: boolean): number {
  if (diedAmong !== null) return Math.max(1, Math.floor(diedAmong / narrowing))
  return isLaneSuspected ? firstGroup : Number.POSITIVE_INFINITY
}

export const isSuspect = ({ maxTogether }: { readonly maxTogether: number }): boolean =>
  maxTogether !== Number.POSITIVE_INFINITY
