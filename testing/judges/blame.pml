/*
 * Who is at fault when a publisher rejects batches as a whole and says nothing of why, for SPIN: a second statement of what
 * testing/model/blaming.ts says, and simpler: one topic, two batches in flight, and message 0 may be the culprit. That another
 * batch passes proves that the broker is there. A rejected batch comes again in single messages; one that is rejected alone pays
 * if others have passed since it was first rejected.
 *
 * Compile with -D<MISTAKE> to take one rule out, and with -DCULPRIT=0 to have one: see spin.ts.
 */

#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef CULPRIT
#define CULPRIT 255
#endif
#define MESSAGES 8
#define MAX_ATTEMPTS 2

#define WAITING 0
#define IN_FLIGHT 1
#define PUBLISHED 2
#define DEAD 3

byte place[MESSAGES], attempts[MESSAGES];
/* Batches that had passed when the message was last rejected, and one more; 0: it is not accused. */
byte accused[MESSAGES];
bool isProven[MESSAGES];
byte passes;
bool isOut, isAway;
byte flights;
byte faults = FAULTS;
byte settled; /* good messages that are published */

#define GOOD (MESSAGES - (CULPRIT < MESSAGES))
#define isOver (settled == GOOD)

inline next(m, isAccused) {
  m = 0;
  do
  :: m < MESSAGES && !(place[m] == WAITING && (accused[m] > 0) == isAccused) -> m++
  :: else -> break
  od
}

inline accepted(m) {
  place[m] = PUBLISHED; accused[m] = 0;
  if :: m != CULPRIT -> settled++ :: else fi
}

/* Returns, or pays. A good message never dies. */
inline rejected(m, pays) {
  if
  :: pays -> attempts[m] = attempts[m] + 1; accused[m] = 0; isProven[m] = false;
     if
     :: attempts[m] == MAX_ATTEMPTS -> assert(m == CULPRIT); place[m] = DEAD
     :: else -> place[m] = WAITING
     fi
  :: else -> place[m] = WAITING; accused[m] = passes + 1; isProven[m] = proven
  fi
}

#ifdef CHARGE_AN_OUTAGE
#define paysBatch !proven
#define paysAlone (proven || !proven)
#else
#ifdef BLAME_THE_WHOLE_BATCH
#define paysBatch proven
#define paysAlone proven
#else
#define paysBatch false
#define paysAlone (proven && accused[a] > 0)
#endif
#endif

proctype Publish() {
  byte a, b, start, since, each;
  bool isAlone, proven;

  do
  :: isOver -> break
  :: atomic { flights == 0 || !isOut ->
       /* The accused go alone, the others by two: neither goes before the other. */
       if
       :: next(a, true); isAlone = true
       :: next(a, false); isAlone = false
       fi;
       if
       :: a == MESSAGES -> a = 0; isAlone = false; goto again
       :: else
       fi;
       place[a] = IN_FLIGHT; b = MESSAGES;
       if
       :: !isAlone -> next(b, false); if :: b < MESSAGES -> place[b] = IN_FLIGHT :: else fi
       :: else
       fi;
       start = passes; flights++ };
     atomic {
       flights--;
       if
       :: isAway || a == CULPRIT || b == CULPRIT ->
          since = start;
          if :: accused[a] > 0 && accused[a] - 1 < since -> since = accused[a] - 1 :: else fi;
          proven = (passes > since);
          if
          :: isAlone || b == MESSAGES -> rejected(a, paysAlone)
          :: else -> rejected(a, paysBatch); rejected(b, paysBatch)
          fi;
          if :: !proven -> isOut = true :: else fi
       :: else ->
          accepted(a);
          if :: b < MESSAGES -> accepted(b) :: else fi;
          passes++;
          if
          :: isOut -> isOut = false; each = 0;
             do
             :: each < MESSAGES -> if :: accused[each] > 0 && !isProven[each] -> accused[each] = 0 :: else fi; each++
             :: else -> break
             od;
             each = 0
          :: else
          fi
       fi;
       a = 0; b = 0; start = 0; since = 0; isAlone = false; proven = false };
again:
     skip
  od
}

proctype Broker() {
  do
  :: atomic { faults > 0 && !isAway && !isOver -> faults--; isAway = true }
  :: atomic { isAway -> isAway = false }
  :: isOver -> break
  od
}

init { atomic { run Publish(); run Publish(); run Broker() } }
