/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Credits and grants, both directions sending at once over several rails: does a stream ever come
 * to a stop, is a receive slot ever missing, does a receiver ever hold more runs than it has room for?
 *
 * Left out: what the bytes are and where they go (stream.pml), how the ends agree on an epoch
 * (resume.pml; here both enter it at once). A run is one stripe long, so run n goes on rail
 * n % RAILS, and fills one segment. Counts that only grow on the wire (limits, credit told) are kept
 * as differences, which is the same on a queue pair that keeps order, and makes the states finite.
 */

#ifndef RAILS
#define RAILS	2
#endif
#ifndef SLOTS
#define SLOTS	2	/* N, run slots of a rail and direction */
#endif
#define CONTROLS 4	/* C, control slots of a direction; the least there may be */
#ifndef RUNS
#define RUNS	4	/* each end sends them; end 0 perhaps none, with -DONE_WAY none */
#endif
#ifndef WINDOW
#define WINDOW	2	/* segments that a receiver has */
#endif
#ifndef EMPTIES
#define EMPTIES	0	/* runs without bytes (ends of empty records) of end 1: they take no segment */
#endif
#ifndef EXTRAS
#define EXTRAS	1	/* control messages for other reasons (CANCEL, REGION), each end */
#endif
#ifndef FAILURES
#define FAILURES 0
#endif

/* "A control message has to be sent as soon as runs to return are >= max(1, N / 2) on some rail, or
 * control messages to return are >= C / 2." */
#define RUN_DUE		(SLOTS > 2 -> SLOTS / 2 : 1)
#ifdef MUT_CONTROL_DUE_LATE
#define CONTROL_DUE	CONTROLS
#else
#define CONTROL_DUE	(CONTROLS / 2)
#endif

/* Kinds of run. */
#define FULL	0
#define EMPTY	1

/* Queues: what end me sends on a rail, and its mirror, what it receives there. */
#define OUT(rail)	(me * RAILS + (rail))
#define IN(rail)	((1 - me) * RAILS + (rail))
#define NEXT		(received[me] % RAILS)

chan wire[2 * RAILS] = [SLOTS + 1] of { bit };		/* runs: kind */
chan control[2] = [CONTROLS + 1] of { byte, byte, byte, byte };	/* segments, control credit, run credit by rail */
chan waiting[2 * RAILS] = [SLOTS + 1] of { bit };	/* arrived, and not next in order */
chan ready[2] = [RAILS * SLOTS] of { bit, byte };	/* next in order, not taken: kind, rail */

byte run_left[2 * RAILS], control_left[2];	/* sender: limit - used */
byte run_owed[2 * RAILS], control_owed[2];	/* receiver: credit not yet told */
byte want[2], empties[2], extras[2] = EXTRAS;	/* what the applications do */
byte sent[2], received[2], taken[2];		/* runs; received: ready, in order */
byte segments[2];		/* sender: granted and not filled */
byte told[2];			/* receiver: granted, of which it knows no run yet */
byte fresh[2] = WINDOW;		/* receiver: free and not granted */
byte old[2];			/* receiver: ready runs of an earlier epoch */
byte failures = FAILURES;

/* Everything asked for has happened. All stops then, so this stays true. */
#define DONE	(taken[0] == want[1] && taken[1] == want[0])

#ifdef MUT_NO_GRANT
#define GRANT_DUE	(fresh[me] == WINDOW && sent[1 - me] == 0)
#else
/* "At once when S has none and one can be granted, or when what can be granted is at least half of
 * the window (granted and unfilled, and grantable)." */
#define GRANT_DUE	(fresh[me] > 0 && fresh[me] >= told[me])
#endif
#ifdef MUT_NO_RUN_DUE
#define CREDIT_DUE	(control_owed[me] >= CONTROL_DUE)
#else
#define CREDIT_DUE	(control_owed[me] >= CONTROL_DUE || run_owed[IN(0)] >= RUN_DUE || \
			 run_owed[IN(RAILS - 1)] >= RUN_DUE)
#endif

/* "The last control credit is kept for messages that return control credit." */
#ifdef MUT_NO_RESERVE
#define MAY_CONTROL	(control_left[me] > 0)
#else
#define MAY_CONTROL	(control_left[me] > 1 || (control_left[me] == 1 && control_owed[me] > 0))
#endif
#ifdef MUT_NO_CREDIT
#define MAY_RUN		(len(wire[OUT(sent[me] % RAILS)]) <= SLOTS)
#else
#define MAY_RUN		(run_left[OUT(sent[me] % RAILS)] > 0)
#endif

/* A message that finds no posted slot kills the queue pair: "receiver not ready". A slot is posted
 * again when its completion is taken from the queue, here when the message leaves the wire. */
inline send_run(rail, kind)
{
	wire[OUT(rail)] ! kind;
#ifndef MUT_NO_CREDIT
	run_left[OUT(rail)]--;
#endif
	assert(len(wire[OUT(rail)]) <= SLOTS)
}

/* "Every message has all" credits. */
inline send_control(grant)
{
	control[me] ! grant, control_owed[me], run_owed[IN(0)], (RAILS > 1 -> run_owed[IN(RAILS - 1)] : 0);
	control_left[me]--;
	assert(len(control[me]) <= CONTROLS);
	control_owed[me] = 0;
	run_owed[IN(0)] = 0;
	run_owed[IN(RAILS - 1)] = 0
}

/* "Handled at arrival", and its credit is owed then. */
inline hear()
{
	control[1 - me] ? grant, c, c0, c1;
	control_owed[me]++;
	segments[me] = segments[me] + grant;
	control_left[me] = control_left[me] + c;
	run_left[OUT(0)] = run_left[OUT(0)] + c0;
	run_left[OUT(RAILS - 1)] = run_left[OUT(RAILS - 1)] + c1;
	grant = 0; c = 0; c0 = 0; c1 = 0
}

/* A run arrives; it and those that waited for it become ready, "in position order". (That they do
 * at once loses no behaviour: a late receiver looks to its peer like a slow wire.) */
inline arrive(rail)
{
	wire[IN(rail)] ? kind;
	assert(len(waiting[IN(rail)]) < SLOTS);
	waiting[IN(rail)] ! kind;
#ifdef MUT_CREDIT_AT_ARRIVAL
	run_owed[IN(rail)]++;
#endif
	do
	:: nempty(waiting[IN(NEXT)]) ->
		waiting[IN(NEXT)] ? kind;
		assert(nfull(ready[me]));
		ready[me] ! kind, NEXT;
		if
		:: kind == FULL ->
			received[me]++;
			told[me]--
		:: else
		fi
	:: else -> break
	od;
	kind = 0
}

/* The application takes a run, as late as it likes: the segment is free, "the run is returned when
 * it is taken, not when it arrives". Runs of an earlier epoch made the slots told in RESUME fewer:
 * a slot of every rail comes back with each RAILS of them. */
inline take()
{
	ready[me] ? kind, rail;
	if
	:: kind == FULL ->
		taken[me]++;
		fresh[me]++
	:: else
	fi;
	if
	:: old[me] > 0 ->
		old[me]--;
#ifndef MUT_OLD_CREDIT_LOST
		if
		:: old[me] % RAILS == 0 ->
			run_owed[IN(0)]++;
			if
			:: RAILS > 1 -> run_owed[IN(RAILS - 1)]++
			:: else
			fi
		:: else
		fi
#endif
	:: else ->
#ifndef MUT_CREDIT_AT_ARRIVAL
		run_owed[IN(rail)]++
#endif
	fi;
	kind = 0; rail = 0
}

inline drop(queue)
{
	do
	:: nempty(queue) -> queue ? _
	:: empty(queue) -> break
	od
}

/* The next epoch, for what end `to` receives: what is ready stays, the rest is sent again; "slots:
 * how many runs it can hold on each rail besides those that are ready"; unfinished segments are
 * granted again. */
inline anew(to)
{
	drop(wire[(1 - to) * RAILS]);
	drop(waiting[(1 - to) * RAILS]);
	drop(wire[(1 - to) * RAILS + RAILS - 1]);
	drop(waiting[(1 - to) * RAILS + RAILS - 1]);
	do
	:: nempty(control[to]) -> control[to] ? _, _, _, _
	:: empty(control[to]) -> break
	od;
	sent[1 - to] = received[to];
	segments[1 - to] = 0;
	fresh[to] = fresh[to] + told[to];
	told[to] = 0;
	old[to] = len(ready[to]);
	control_left[to] = CONTROLS;
	control_owed[to] = 0;
#ifdef MUT_ALL_SLOTS
	run_left[(1 - to) * RAILS] = SLOTS;
#else
	run_left[(1 - to) * RAILS] = SLOTS - (old[to] + RAILS - 1) / RAILS;
#endif
	run_left[(1 - to) * RAILS + RAILS - 1] = run_left[(1 - to) * RAILS];
	run_owed[(1 - to) * RAILS] = 0;
	run_owed[(1 - to) * RAILS + RAILS - 1] = 0
}

proctype end_of_stream(bit me)
{
	byte rail, grant, c, c0, c1;
	bit kind;

	do
	:: d_step { !DONE && sent[me] < want[me] && segments[me] > 0 && MAY_RUN ->
		send_run(sent[me] % RAILS, FULL);
		segments[me]--;
		sent[me]++ }
	:: d_step { !DONE && empties[me] > 0 && sent[me] < want[me] && MAY_RUN ->
		send_run(sent[me] % RAILS, EMPTY);
		empties[me]-- }

	/* The application cancels, or a region is announced: one more message, at any time. */
	:: d_step { !DONE && extras[me] > 0 && MAY_CONTROL ->
		send_control(0);
		extras[me]-- }
	:: d_step { !DONE && GRANT_DUE && MAY_CONTROL ->
		send_control(fresh[me]);
		told[me] = told[me] + fresh[me];
		fresh[me] = 0 }
	:: d_step { !DONE && CREDIT_DUE && MAY_CONTROL ->
		send_control(0) }

	:: d_step { !DONE && nempty(control[1 - me]) -> hear() }
	:: d_step { !DONE && nempty(wire[IN(0)]) -> arrive(0) }
#if RAILS > 1
	:: d_step { !DONE && nempty(wire[IN(1)]) -> arrive(1) }
#endif
	:: d_step { !DONE && nempty(ready[me]) -> take() }
	:: d_step { !DONE && failures > 0 && me == 0 ->
		failures--;
		anew(0);
		anew(1) }
	:: DONE -> break
	od
}

init {
	byte i;

	atomic {
#ifndef ONE_WAY
		if
		:: want[0] = RUNS
		:: want[0] = 0
		fi;
#endif
		want[1] = RUNS;
		empties[1] = EMPTIES;
		for (i : 0 .. 2 * RAILS - 1) {
			run_left[i] = SLOTS
		}
		i = 0;
		control_left[0] = CONTROLS;
		control_left[1] = CONTROLS;
		run end_of_stream(0);
		run end_of_stream(1)
	}
}
