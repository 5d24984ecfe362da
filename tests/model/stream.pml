/* SPDX-License-Identifier: BSD-2-Clause
 *
 * One direction of a stream: segments, runs over several rails, pool and posted mode, records,
 * cancel, path failure and resume, close. Every byte of memory has an owner and a content, so the
 * model sees what is lost, doubled, out of order, or written where nobody may write any more.
 *
 * Left out: credits (credits.pml; here a queue is simply long enough) and how the two ends agree on
 * an epoch and on the end (resume.pml; here both enter the next epoch at once).
 *
 * Names: S is the sender, R the receiver. A source byte is known by its number, 0 to BYTES - 1. Its
 * stream position is the same number, less what was discarded before it (TRUNC).
 */

#define RAILS	2
#ifndef BYTES
#define BYTES	5
#endif
#ifndef SEGMENTS
#define SEGMENTS 3	/* indexes; posted mode: also the number of receives */
#endif
#ifndef LENGTH
#define LENGTH	2	/* of a segment */
#endif
#ifndef STRIPE
#define STRIPE	1	/* bytes */
#endif
#ifndef CELLS
#define CELLS	2	/* pool mode */
#endif
#ifndef QUEUE
#define QUEUE	4	/* messages under way, each queue */
#endif
#ifndef FAILURES
#define FAILURES 1
#endif
#ifndef CANCELS
#define CANCELS	0
#endif
#ifdef POSTED
#define MEMORIES SEGMENTS
#else
#define MEMORIES CELLS
#endif

/* Kinds of run, and the control messages; SKIPPED travels among the runs of rail 0. */
#define DATA	1	/* length 0: the end of a record comes late, or the record is empty */
#define FIN	2
#define STOP	3
#define TRUNC	4
#define SKIPPED 5
#define GRANT	6
#define CANCEL	7

#define BIT(n)	(1 << (n))
#define MASK	(BIT(LENGTH) - 1)	/* the bytes of one segment */

/* Records: 0 has RECORD0 source bytes, 1 has the others. Without them there is one, without end. */
#ifdef RECORD0
#define RECORDS	2
#define RECORD_START(record)	(record == 0 -> 0 : (record == 1 -> RECORD0 : BYTES))
#define RECORD_END(record)	(record == 0 -> RECORD0 : BYTES)
#else
#define RECORDS	0
#define RECORD_START(record)	0
#define RECORD_END(record)	BYTES
#endif

#define RAIL(position)	(((position) / STRIPE) % RAILS)

/* A rail, from S's send queue to R's completion queue: kind, end of record, length, epoch, sequence;
 * then where the write goes (address, or index of SKIPPED) and its first source byte. */
chan rail[RAILS] = [QUEUE] of { byte, bit, byte, bit, byte, byte, byte };
/* Arrivals that R has taken from the completion queue, in order of each rail: what hardware and
 * immediate tell, no more. */
chan arrived[RAILS] = [QUEUE] of { byte, bit, byte, bit, byte };
/* R's control messages: kind, epoch, index, address, length. */
chan control = [QUEUE] of { byte, bit, byte, byte, byte };

/* ---- memory of R: what it holds (source byte + 1, 0 nothing, GARBAGE), and whose it is ---- */
#define GARBAGE	255
byte memory[MEMORIES * LENGTH];
short application;	/* bit per byte: lent, or given back; a write there is a violation */

/* ---- S ---- */
byte s_next;		/* next source byte */
byte s_position;	/* of the stream */
byte s_record;		/* record of s_next */
byte s_begin[RECORDS + 1];	/* position where each record began */
bool s_truncated;	/* the rest of this record is discarded: TRUNC was sent */
bool s_fin;		/* FIN was sent */
bit s_epoch;
byte s_sequence;
byte s_granted, s_current, s_filled;	/* segments: known, current, bytes written to the current */
byte s_address[SEGMENTS], s_length[SEGMENTS];
byte s_marked;		/* bit per index: cancelled, must be ended by STOP */
byte s_answer;		/* bit per index: SKIPPED is to be sent */
byte s_given_back;	/* source bytes whose memory the application has back (SENT) */
byte completed;		/* bit per source byte: the hardware of S knows that it has arrived */
bool fin_completed;
bool s_fenced;

/* ---- R ---- */
byte r_next;		/* source byte that must come next: what the application has seen before */
byte r_position, r_records;
bool r_fin;
bit r_epoch;
byte r_sequence;
byte r_current, r_filled, r_granted;
byte r_known;		/* indexes that have memory: granted, or to be granted */
byte r_memory[SEGMENTS];	/* index to memory */
byte r_cancelling;	/* bit per index: CANCEL sent, not over */
byte r_back;		/* bit per index: ended by SKIPPED, the application has the memory */
byte r_posted;	/* posted: receives that the application has posted */
byte r_released;	/* pool: segments released by the application, in order */
bool r_fencing, r_fenced, r_closed, s_closed;

/* What R reports in RESUME. */
byte rep_position, rep_records, rep_index;
bool rep_fin;

byte lost;	/* bit per rail: the path has lost a message, nothing behind it arrives */
byte failures = FAILURES, cancels = CANCELS;
bool failed;		/* in this epoch; one end or the other has seen it */

#define OVER	(r_closed || s_closed || (r_fin && fin_completed && s_given_back == BYTES))

/* ---- the network ---- */

#ifdef MUT_NO_EPOCH
#define EPOCH_IS(mine)	true
#else
#define EPOCH_IS(mine)	(epoch == mine)
#endif

/* The write of a run lands. S's memory is read when the packet leaves, or leaves again. */
inline land(address, length, source)
{
	i = 0;
	do
	:: i < length ->
		assert((application & BIT(address + i)) == 0);	/* memory that the application has */
		memory[address + i] = (source + i < s_given_back && !s_fenced -> GARBAGE : source + i + 1);
		i++
	:: else -> break
	od;
	i = 0
}

/* "Reliable completion of a write = the peer's memory and completion queue have it." */
inline complete(kind, length, source)
{
	i = 0;
	do
	:: i < length ->
		completed = completed | BIT(source + i);
		i++
	:: else -> break
	od;
	i = 0;
	if
	:: kind == FIN -> fin_completed = true
	:: kind == TRUNC ->
		/* What TRUNC discards belongs to it. */
		i = source;
		do
		:: i < RECORD_END(0) ->
			completed = completed | BIT(i);
			i++
		:: else -> break
		od;
		i = 0
	:: else
	fi
}

/* SKIPPED gives the memory back, if the segment has not ended meanwhile. Its place in the order
 * of segments stays until the STOP run (found by this model, see MUT_SKIP_SILENT). */
inline hear_skipped(index)
{
	if
	:: index >= r_current && (r_cancelling & BIT(index)) && !r_fin ->
		r_back = r_back | BIT(index);
		r_cancelling = r_cancelling & ~BIT(index);
		application = application | (MASK << (r_memory[index] * LENGTH));
#ifdef MUT_SKIP_SILENT
		skip_back()
#endif
	:: else
	fi
}

inline skip_back()
{
	do
	:: r_current < SEGMENTS && (r_back & BIT(r_current)) && r_filled == 0 -> r_current++
	:: else -> break
	od;
	skip
}

/* The queue pairs of R take messages until they are fenced. */
#ifdef MUT_NO_FENCE
#define R_TAKES	true
#else
#ifdef MUT_CLOSE_NO_DRAIN
#define R_TAKES	(!r_fencing && !r_fenced)
#else
#define R_TAKES	(!r_fencing && !r_fenced && !r_closed)
#endif
#endif

/* (An epoch is one bit here, so the models with SHARED have one failure; on the wire it is a byte.)
 * With shared endpoints nothing is drained: the keys of the old epoch open nothing any more, but a
 * late message still comes out of the completion queue. */
#ifdef SHARED
#define LANDS(epoch)	(epoch == r_epoch)
#else
#define LANDS(epoch)	true
#endif

inline take(n)
{
	rail[n] ? kind, eor, length, epoch, sequence, address, source;
	if
	:: kind == SKIPPED ->
		if
		:: EPOCH_IS(r_epoch) && !r_fenced -> hear_skipped(address)
		:: else
		fi
	:: else ->
		if
		:: LANDS(epoch) -> land(address, length, source)
		:: else
		fi;
		if
		:: epoch == s_epoch && !s_fenced -> complete(kind, length, source)
		:: else
		fi;
		arrived[n] ! kind, eor, length, epoch, sequence
	fi;
	forget()
}

/* On a path that has failed a write may land of which R never hears. */
inline lose(n)
{
	rail[n] ? kind, eor, length, epoch, sequence, address, source;
	if
	:: kind != SKIPPED && LANDS(epoch) -> land(address, length, source)
	:: else
	fi;
	lost = lost | BIT(n);
	forget()
}

inline forget()
{
	kind = 0; eor = 0; length = 0; epoch = 0; sequence = 0; address = 0; source = 0
}

active proctype network()
{
	byte kind, length, sequence, address, source, i;
	bit eor, epoch;

end:	do
	:: d_step { nempty(rail[0]) && R_TAKES && !(lost & BIT(0)) && nfull(arrived[0]) -> take(0) }
	:: d_step { failed && nempty(rail[0]) && R_TAKES && !(lost & BIT(0)) -> lose(0) }
	:: d_step { nempty(rail[1]) && R_TAKES && !(lost & BIT(1)) && nfull(arrived[1]) -> take(1) }
	:: d_step { failed && nempty(rail[1]) && R_TAKES && !(lost & BIT(1)) -> lose(1) }
	/* The path fails, at any time. (Either end sees it; the other hears of it.) */
	:: d_step { failures > 0 && !OVER -> failures--; failed = true }
	od
}

#include "stream_sender.pml"
#include "stream_receiver.pml"

init {
	atomic {
#ifndef POSTED
		for (r_known : 0 .. CELLS - 1) {
			r_memory[r_known] = r_known
		}
		r_known = CELLS;
#endif
		run sender();
		run receiver()
	}
}
