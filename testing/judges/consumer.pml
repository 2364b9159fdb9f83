/*
 * One stream of a broker that delivers at least once, two processes of one consumer, and the consumer's database, for SPIN: a
 * second statement of what testing/model/consuming.ts says. A message is claimed in the inbox and applied in one transaction, and
 * acknowledged after its commit.
 *
 * What `atomic` encloses is one statement of the database, or one answer of the broker. A process that stands still is one whose
 * steps do not come. Compile with -D<MISTAKE> to take one rule out: see spin.ts.
 */

#ifndef FAULTS
#define FAULTS 3
#endif
#define MESSAGES 2
#define COPIES (MESSAGES + FAULTS)
#define NOBODY 255

/* The stream, its copies from `head` on. The copy at `head` is out with `holder`. */
byte stream[COPIES];
byte head, tail;
byte holder = NOBODY;

/* Committed: the inbox, and how often each message was applied. Not committed: who holds the inbox row of which. */
bool inbox[MESSAGES];
byte applied[MESSAGES];
byte claims[MESSAGES];
byte faults = FAULTS;
byte working;

#define isOver (head == tail && working == 0)

#ifdef APPLY_WITHOUT_INBOX
#define isKnown(m) false
#define isFree(m) true
#else
#define isKnown(m) inbox[m]
#ifdef LOOK_BEFORE_CLAIMING
#define isFree(m) true
#else
#define isFree(m) (claims[m] == 0)
#endif
#endif

inline apply(m) {
  assert(applied[m] == 0);
  assert(m == 0 || applied[0] > 0);
  applied[m] = applied[m] + 1;
  inbox[m] = true;
  claims[m] = claims[m] - 1
}

/* The broker hands the copy to the next one that asks. */
inline giveBack() { if :: holder == me -> holder = NOBODY :: else fi }

/* The broker takes no acknowledgement of a delivery that it has given to another since. */
inline acknowledge(m) {
  if
  :: holder == me -> assert(applied[m] > 0); head++; holder = NOBODY
  :: else
  fi
}

proctype Process(byte me) {
  byte m;

idle:
  if
  :: isOver -> goto end
  :: atomic { head < tail && holder == NOBODY -> m = stream[head]; holder = me; working++ }
  fi;

received:
  if
  :: atomic { isKnown(m) -> goto over }
  :: atomic { !isKnown(m) && isFree(m) -> claims[m] = claims[m] + 1
#ifdef INBOX_OUTSIDE_THE_TRANSACTION
     ; inbox[m] = true
#endif
     }
  :: atomic { faults > 0 -> faults--; giveBack(); working--; goto idle } /* crashes */
  :: atomic { faults > 0 && holder == me -> faults--; giveBack(); goto received } /* is too slow */
  fi;

claimed:
  if
  :: atomic { apply(m); goto over } /* commits */
  :: atomic { faults > 0 -> faults--; apply(m); giveBack(); working--; goto idle } /* commits, and never hears of it */
  :: atomic { faults > 0 -> faults--; claims[m] = claims[m] - 1; giveBack(); working--; goto idle } /* crashes, or its handler fails */
  :: atomic { faults > 0 && holder == me -> faults--; giveBack(); goto claimed }
#ifdef ACKNOWLEDGE_BEFORE_COMMIT
  :: atomic { holder == me -> acknowledge(m); goto claimed }
#endif
  fi;

over:
  if
  :: atomic { acknowledge(m); working--; goto idle }
  :: atomic { faults > 0 -> faults--; giveBack(); working--; goto idle }
  :: atomic { faults > 0 && holder == me -> faults--; giveBack(); goto over }
  fi;

end:
  skip
}

/* A relay that died before it heard of its publish: the broker has the message once more. */
proctype Relay() {
end:
  do
  :: atomic { faults > 0 && !isOver -> faults--; stream[tail] = 0; tail++ }
  :: atomic { faults > 0 && !isOver -> faults--; stream[tail] = 1; tail++ }
  :: isOver -> break
  od
}

init {
  atomic {
    stream[0] = 0; stream[1] = 1; tail = 2;
    run Process(0); run Process(1); run Relay()
  }
}
