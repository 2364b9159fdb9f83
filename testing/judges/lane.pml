/*
 * One lane of the outbox, for SPIN: a second statement of the protocol beside testing/model, in another language and for another
 * checker. Written from docs/lifecycle.md, not from the code, and simpler than our own model: one ordering key, one transaction a
 * writer, each transaction one message.
 *
 * A set of seqs is a byte: bit n stands for seq n. What `atomic` encloses is one statement of the database, or one step of a process.
 * A relay that stands still is one whose steps do not come. Compile with -D<MISTAKE> to take one rule out: see spin.ts.
 */

#ifndef WRITERS
#define WRITERS 3
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#define RELAYS 2
#define NOBODY 255

#define bit(n) (1 << (n))
#define has(set, n) (((set) >> (n)) & 1)
#define below(n) (bit(n) - 1)
#define upTo(n) (bit((n) + 1) - 1)
#define NONE 8 /* a seq that no message has */

/* The table: rows that are committed, those with the ordering key, those that wait for a retry. */
byte rows, keyed, waitingRows;
/* In the table although their transactions have not committed: only with a mistake. */
byte unbacked;
byte nextSeq = 1;
/* Who holds RowExclusiveLock on it: bit n is writer n. */
byte holders;
bool keyIsLocked;
byte ended;

/* The lane's row, and whether its owner's lease has run out. */
byte owner = NOBODY;
bool leaseIsOut;
byte fence;

/* What the broker has, and what may come twice because it was in flight when something failed. */
byte published, excused;
byte faults = FAULTS;

#ifdef CUT_OFF
/* Somebody asks when everything from before this instant is at the broker: what was committed, and what open transactions will commit. */
byte committed, openWriters, owed;
bool isAsked;
#endif

proctype Writer(byte me; bool isKeyed) {
  byte seq;
  /* The first statement takes the table's lock and, with an ordering key, the key's. */
  atomic {
    !isKeyed || !keyIsLocked ->
    holders = holders | bit(me);
    if :: isKeyed -> keyIsLocked = true :: else fi
  }
  atomic { seq = nextSeq; nextSeq++;
#ifdef ADD_OUTSIDE_THE_TRANSACTION
    rows = rows | bit(seq); unbacked = unbacked | bit(seq);
    if :: isKeyed -> keyed = keyed | bit(seq) :: else fi
#endif
  }
  atomic {
    if
    ::
#ifdef ADD_OUTSIDE_THE_TRANSACTION
       unbacked = unbacked & ~bit(seq)
#else
       rows = rows | bit(seq);
       if :: isKeyed -> keyed = keyed | bit(seq) :: else fi
#endif
#ifdef CUT_OFF
       ; committed = committed | bit(seq);
       if :: isAsked && has(openWriters, me) -> owed = owed | bit(seq) :: else fi
#endif
    :: faults > 0 -> faults-- /* rolls back, and leaves a gap */
    fi;
    holders = holders & ~bit(me);
    if :: isKeyed -> keyIsLocked = false :: else fi;
    ended++
  }
}

#define isOver (ended == WRITERS && rows == 0)
#define inFlight (checked | sent | failed)
#ifdef PUBLISH_AFTER_THE_LEASE
#define works owns
#else
#define works (owns && !expired)
#endif
#ifdef TAKE_AN_OWNED_LANE
#define isFree true
#else
#define isFree (owner == NOBODY || leaseIsOut)
#endif

#ifdef FORWARD_ONLY_POSITION
#define readFloor position
#else
#define readFloor floor
#endif
/* What a read finds: above the floor, or from a message that was passed over because its key waited. */
#define found (rows & ~waitingRows & ~excluded & (~upTo(readFloor) | ~below(reread)))

#ifdef FORGET_SETTLED_AT_ONCE
#define excluded 0
#else
#define excluded known
#endif

#ifdef SEND_BEHIND_A_FAILURE
#define keyIsFree(s) true
#else
#define keyIsFree(s) ((keyed & (checked | failed)) == 0 && (waiting & below(s)) == 0)
#endif
#define mayGo(s) (has(buffer, s) && (!has(keyed, s) || (keyIsFree(s) && (buffer & keyed & below(s)) == 0)))

inline forgetReading() {
  position = 0; floor = 0; candidate = 0; seen = NOBODY; isReading = false; raises = false; reading = 0; known = 0; settled = 0;
  buffer = 0; waiting = 0; skipped = NONE; reread = NONE
}

inline forget() { forgetReading(); owns = false; expired = false; myFence = 0; checked = 0; sent = 0; failed = 0 }

/* The message is off the table. It stays known while a read is under way, whose snapshot may still have it. */
inline settle(s) {
#ifdef FORGET_SETTLED_AT_ONCE
  known = known & ~bit(s);
#else
  if :: isReading -> settled = settled | bit(s) :: else -> known = known & ~bit(s) fi;
#endif
  if
  :: waiting != 0 && (waiting & ~bit(s)) == 0 -> if :: skipped < reread -> reread = skipped :: else fi; skipped = NONE
  :: else
  fi;
  waiting = waiting & ~bit(s)
}

#define eachSeq(steps) steps(1) steps(2) steps(3)

#define STEPS_OF(s) \
  /* Checks its lease, and takes a message. */ \
  :: atomic { works && mayGo(s) -> assert(owner == me && fence == myFence); buffer = buffer & ~bit(s); checked = checked | bit(s) } \
  /* The broker has it. A publish that began under the lease may end after it. */ \
  :: atomic { has(checked, s) -> assert(!has(unbacked, s)); \
       if \
       :: has(published, s) -> assert(has(excused, s)) \
       :: else -> if :: has(keyed, s) -> \
            assert((rows & keyed & ~published & below(s)) == 0); assert((published & keyed & ~upTo(s)) == 0) \
          :: else fi \
       fi; \
       published = published | bit(s); checked = checked & ~bit(s); sent = sent | bit(s) } \
  :: atomic { has(checked, s) && faults > 0 -> faults--; checked = checked & ~bit(s); failed = failed | bit(s) } \
  /* The answer is lost. */ \
  :: atomic { has(sent, s) && faults > 0 -> faults--; excused = excused | bit(s); sent = sent & ~bit(s); failed = failed | bit(s) } \
  /* Deletes the row. No fence: this only ever follows an acknowledgement. */ \
  :: atomic { has(acknowledged, s) -> assert(has(published, s)); \
       rows = rows & ~bit(s); waitingRows = waitingRows & ~bit(s); sent = sent & ~bit(s); checked = checked & ~bit(s); settle(s) } \
  /* Writes a failure down, if the lane is still its own. */ \
  :: atomic { has(failed, s) -> failed = failed & ~bit(s); \
       if \
       :: mayWriteDown -> known = known & ~bit(s); waitingRows = waitingRows | (bit(s) & rows); \
          if :: has(keyed, s) -> waiting = waiting | bit(s) :: else fi \
       :: else -> forgetReading(); expired = true \
       fi } \
  /* The broker is to blame, not the message: it goes back to its place in the memory. */ \
  :: atomic { works && has(failed, s) -> failed = failed & ~bit(s); buffer = buffer | bit(s) } \
  /* The retry is due. Its key waits until it is settled. */ \
  :: atomic { works && has(waitingRows, s) && !has(known, s) -> buffer = buffer | bit(s); known = known | bit(s); \
       if :: has(keyed, s) -> waiting = waiting | bit(s) :: else fi } \
  /* A zombie's late acknowledgement settled what the key waits for. */ \
  :: atomic { seesGone && works && has(waiting, s) && !has(rows, s) && !has(known, s) -> settle(s) }

#ifdef SETTLE_BEFORE_ACKNOWLEDGEMENT
#define acknowledged (sent | checked)
#else
#define acknowledged sent
#endif
#ifdef RETRY_WITHOUT_FENCE
#define mayWriteDown true
#else
#define mayWriteDown (owner == me && fence == myFence)
#endif
#ifdef WAIT_FOR_A_SETTLED_MESSAGE
#define seesGone false
#else
#define seesGone true
#endif
#ifdef HAND_OVER_UNSETTLED
#define mayHandOver true
#else
#define mayHandOver (inFlight == 0)
#endif

proctype Relay(byte me) {
  bool owns, expired, isReading, raises;
  byte myFence, position, floor, candidate, reading, known, settled, buffer, checked, sent, failed, waiting;
  byte seen = NOBODY, skipped = NONE, reread = NONE;
  byte taken;

  do
  :: isOver -> break

  /* Takes the lane, and the keys in it that wait. */
  :: atomic { !owns && !expired && !isOver && isFree ->
       owns = true; owner = me; leaseIsOut = false; fence++; myFence = fence;
#ifndef NEW_OWNER_IGNORES_WAITING_KEYS
       waiting = waitingRows & keyed
#endif
     }
  :: atomic { expired && inFlight == 0 -> forget() }

  /* Reads: the snapshot in one step, what is done with it in another. */
  :: atomic { works && !isReading && (found != 0 || seen == 0) ->
       reading = found; raises = (seen == 0); isReading = true; reread = NONE }
  :: atomic { isReading ->
       taken = reading & ~known;
       if
       :: waiting != 0 && (taken & keyed) != 0 ->
          /* The lowest that is passed over. */
          if
          :: has(taken & keyed, 1) -> skipped = 1
          :: else -> if :: has(taken & keyed, 2) && skipped > 2 -> skipped = 2 :: else -> if :: skipped > 3 -> skipped = 3 :: else fi fi
          fi;
          taken = taken & ~keyed
       :: else
       fi;
       if
       :: has(reading, 3) && position < 3 -> position = 3
       :: else -> if :: has(reading, 2) && position < 2 -> position = 2 :: else -> if :: has(reading, 1) && position < 1 -> position = 1 :: else fi fi
       fi;
       buffer = buffer | taken; known = (known | taken) & ~settled; settled = 0; reading = 0; isReading = false; taken = 0;
       if :: raises -> floor = candidate; seen = NOBODY; raises = false :: else fi }

  /* The barrier: who holds the table when the position is noted; when all of them have ended, the next read raises the floor. */
  :: atomic { works && !isReading && seen == NOBODY && position > floor ->
       candidate = position;
#ifdef FLOOR_WITHOUT_LOCKS
       seen = 0
#else
       seen = holders
#endif
     }
  :: atomic { works && !isReading && seen != NOBODY && (seen & holders) != seen -> seen = seen & holders }

  eachSeq(STEPS_OF)

  /* Faults: a pause past the lease, a crash, the lane handed over. */
  :: atomic { works && faults > 0 -> faults--; excused = excused | inFlight; leaseIsOut = true; forgetReading(); expired = true }
  :: atomic { works && faults > 0 -> faults--; excused = excused | inFlight; leaseIsOut = true; forget() }
  :: atomic { works && faults > 0 && mayHandOver -> faults--; owner = NOBODY; forget() }
  od
}

#ifdef CUT_OFF
#ifdef CUT_OFF_FORGETS_WRITERS
#define mayBound true
#else
#define mayBound ((openWriters & holders) == 0)
#endif
#ifdef CUT_OFF_FORGETS_WAITING_ROWS
#define left (rows & ~waitingRows)
#else
#define left rows
#endif

/* The writers of before are let end; then the sequence says how far to look. */
proctype CutOff() {
  byte bound;
  atomic { owed = committed; openWriters = holders; isAsked = true }
  atomic { mayBound -> bound = nextSeq - 1 }
  atomic { (left & upTo(bound)) == 0 -> assert((openWriters & holders) == 0); assert((owed & ~published) == 0) }
}
#endif

init {
  atomic {
#ifdef CUT_OFF
    run CutOff();
#endif
    run Writer(0, true); run Writer(1, true);
#if WRITERS == 3
    run Writer(2, false);
#endif
    run Relay(0); run Relay(1)
  }
}
