/* SPDX-License-Identifier: BSD-2-Clause
 *
 * How two ends agree: on the next epoch after a path failure, by RESUME on the control channel, and
 * on the end, by DONE. The control channel itself may be cut, is away for any time, and comes back.
 *
 * Left out: segments and memory (stream.pml), credits (credits.pml). Each end sends RUNS runs on one
 * rail; the last one is FIN. What counts is that both process all runs, once, in order, and that both
 * end in order: no end fails, or waits for one that is gone.
 */

#ifndef RUNS
#define RUNS	2
#endif
#ifndef FAILURES
#define FAILURES 2	/* of paths, also of one that is being connected */
#endif
#ifndef CUTS
#define CUTS	1	/* of the control channel */
#endif

mtype:state = { up, fenced, connecting, gone };
mtype:kind = { RESUME, DONE };

chan rail[2] = [RUNS] of { byte, byte };		/* from end i: epoch, number of run */
chan channel[2] = [4] of { mtype:kind, byte, byte };	/* from end i: kind, epoch, runs processed */

mtype:state state[2] = up;
byte epoch[2];
byte sent[2];		/* runs, in this life of the stream (a rewind takes them back) */
byte completed[2];	/* of them, those that the hardware has reported */
byte processed[2];	/* of the peer's */

/* The last RESUME told: for which epoch (0: none yet), and with what. */
byte told_epoch[2], told_processed[2];
bool done_sent[2], done_heard[2];

byte failures = FAILURES, cuts = CUTS;
bool away = false;	/* the control channel is cut, and not back */

#define PEER	(1 - me)

/* What is said to an end that is gone, or while the channel is away, goes nowhere. */
inline say(what, next, position)
{
	if
	:: state[PEER] != gone && !away -> channel[me] ! what, next, position
	:: else
	fi
}

inline tell_resume(next)
{
	told_epoch[me] = next;
	told_processed[me] = processed[me];
	say(RESUME, next, processed[me])
}

/* Fence: nothing arrives and nothing leaves any more. Then RESUME. */
inline fail()
{
	state[me] = fenced;
	tell_resume(epoch[me] + 1)
}

/* Both RESUMEs of an epoch are known: the sender goes where the peer says. */
inline enter(next, position)
{
	assert(position >= completed[me] && position <= sent[me]);
	epoch[me] = next;
	state[me] = connecting;
	sent[me] = position;
	completed[me] = position
}

/* "Only RESUME for exactly current epoch + 1 counts; a lower one is stale." A higher one is adopted
 * (found by this model): the one between was lost with the control channel. */
inline hear_resume(next, position)
{
	if
#ifndef MUT_STALE
	:: next <= epoch[me]
	:: next > epoch[me] ->
#else
	:: true ->
#endif
#ifdef MUT_HIGHER_IS_ERROR
		assert(next == epoch[me] + 1);
#endif
		if
		:: state[me] == fenced && told_epoch[me] == next
		:: else -> tell_resume(next)
		fi;
		enter(next, position)
	fi
}

inline hear()
{
	channel[PEER] ? kind, next, position;
	if
	:: kind == RESUME -> hear_resume(next, position)
	:: else ->
		/* The peer has processed our FIN. A rail that fails now has nothing left to lose. */
		done_heard[me] = true;
		completed[me] = RUNS;
		sent[me] = RUNS
	fi;
	kind = RESUME; next = 0; position = 0
}

/* "The control channel may be cut and come back; RESUME and DONE are told again on the new one."
 * What was under way is lost, and what is said until it is back. */
inline cut()
{
	do
	:: nempty(channel[0]) -> channel[0] ? _, _, _
	:: empty(channel[0]) -> break
	od;
	do
	:: nempty(channel[1]) -> channel[1] ? _, _, _
	:: empty(channel[1]) -> break
	od;
	away = true;
	cuts--
}

inline back()
{
#ifndef MUT_NO_RETELL
	retell(0);
	retell(1);
#endif
	away = false
}

inline retell(i)
{
	if
	:: state[i] != gone && told_epoch[i] > 0 -> channel[i] ! RESUME, told_epoch[i], told_processed[i]
	:: else
	fi;
	if
	:: state[i] != gone && done_sent[i] -> channel[i] ! DONE, 0, 0
	:: else
	fi
}

/* Both sides are ready: new queue pairs, which know nothing of the old. */
inline connect()
{
	do
	:: nempty(rail[0]) -> rail[0] ? _, _
	:: empty(rail[0]) -> break
	od;
	do
	:: nempty(rail[1]) -> rail[1] ? _, _
	:: empty(rail[1]) -> break
	od;
	state[0] = up;
	state[1] = up
}

#define ALIVE		(state[me] != gone)
#define SAME_LIFE	(state[PEER] == up && epoch[PEER] == epoch[me])
#define ROOM		(len(channel[me]) < 4 || state[PEER] == gone)

/* DONE (on the wire ABORT with reason CLOSED) says: the peer's FIN is processed, and the own FIN is
 * known received: it completed, or RESUME or DONE told so. */
#ifdef MUT_DONE_EARLY
#define DONE_DUE	(completed[me] == RUNS)
#else
#define DONE_DUE	(processed[me] == RUNS && completed[me] == RUNS)
#endif

/* When queue pairs and control channel may go. Found by this model: not before DONE went both ways;
 * the acknowledgement of the peer's last run may be lost. */
#ifdef MUT_NO_DONE
#define MAY_GO	(processed[me] == RUNS && completed[me] == RUNS)
#else
#ifdef MUT_GO_AFTER_DONE_SENT
#define MAY_GO	done_sent[me]
#else
#define MAY_GO	(done_sent[me] && (done_heard[me] || PEER_GONE))
#endif
#endif

/* The peer has closed the control channel, or refuses a new one; all it said is read. */
#define PEER_GONE	(state[PEER] == gone && empty(channel[PEER]))

proctype end_of_stream(bit me)
{
	mtype:kind kind = RESUME;
	byte next, position;

	do
	:: d_step { state[me] == up && sent[me] < RUNS ->
		sent[me]++;
		rail[me] ! epoch[me], sent[me] }

	/* A run of the peer arrives, and is processed. */
	:: d_step { state[me] == up && nempty(rail[PEER]) ->
		rail[PEER] ? next, position;
		assert(next == epoch[me] && position == processed[me] + 1);
		processed[me]++;
		next = 0;
		position = 0 }
	/* Its acknowledgement comes back, if the peer's queue pair lives. */
	:: d_step { state[me] == up && SAME_LIFE && completed[me] < processed[PEER] -> completed[me]++ }

	/* The path fails; or nobody answers: "retry exceeded". */
	:: d_step { state[me] == up && failures > 0 && ROOM -> failures--; fail() }
	:: d_step { state[me] == up && !SAME_LIFE && completed[me] < sent[me] && ROOM -> fail() }
	/* New queue pairs do not come up. */
	:: d_step { state[me] == connecting && failures > 0 && ROOM -> failures--; fail() }
	:: d_step { state[me] == connecting && state[PEER] == connecting && epoch[me] == epoch[PEER] -> connect() }

	:: d_step { ALIVE && nempty(channel[PEER]) && ROOM -> hear() }
	:: d_step { ALIVE && cuts > 0 && !away -> cut() }
	:: d_step { ALIVE && away -> back() }

#ifndef MUT_NO_DONE
	:: d_step { ALIVE && DONE_DUE && !done_sent[me] && ROOM ->
		done_sent[me] = true;
		say(DONE, 0, 0) }
#endif
	:: d_step { ALIVE && MAY_GO -> state[me] = gone }
	/* The channel ended without DONE: the stream fails, here for no reason. */
	:: d_step { ALIVE && PEER_GONE && !done_sent[me] && state[me] != up -> assert(false) }
	:: state[me] == gone -> break
	od;
	assert(processed[me] == RUNS)
}

init {
	atomic {
		run end_of_stream(0);
		run end_of_stream(1)
	}
}
