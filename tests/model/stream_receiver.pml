/* SPDX-License-Identifier: BSD-2-Clause
 *
 * R, the receiver of stream.pml: grants, runs in position order, cancel, fence and report; and the
 * application behind it.
 */

#define R_UP	(!r_fencing && !r_fenced && !OVER)

#ifdef MUT_NO_FENCE
#define R_PROCESSES	(!r_closed)
#else
#define R_PROCESSES	(!r_closed && !r_fenced)
#endif

#if CANCELS > 0
#define fence_cancels_only()	fence_cancels()
#else
#define fence_cancels_only()	skip
#endif

/* Bytes that are released are the peer's to write. */
#ifdef MUT_GRANT_LENT
#define RELEASE	skip
#else
#define RELEASE	application = application & ~(MASK << (r_memory[r_released] * LENGTH))
#endif

/* Posted: the application has the memory back. Pool: it had the bytes when they were processed. */
inline finish()
{
#ifdef POSTED
	application = application | (MASK << (r_memory[r_current] * LENGTH));
	r_cancelling = r_cancelling & ~BIT(r_current);
#endif
	r_current++;
	r_filled = 0;
#ifdef MUT_SKIP_SILENT
	skip_back()
#endif
}

/* The bytes of a run, in the memory where R thinks they are. */
inline receive(n)
{
#ifdef POSTED
	assert(r_current < r_granted);
#endif
#ifdef SPAN
	assert(n == 0 || r_current < r_granted);
#else
	assert(n == 0 || r_current < r_granted && r_filled + n <= LENGTH);
#endif
	assert((r_back & BIT(r_current)) == 0);
#if defined(WHOLE) && CANCELS == 0
	/* With WHOLE no record goes on in the next receive. */
	assert(r_filled > 0 || n == 0 || r_next == RECORD_START(r_records));
#endif
	i = 0;
	do
	:: i < n ->
#ifdef SPAN
		if
		:: r_filled == LENGTH -> finish()
		:: else
		fi;
		assert(r_current < r_granted);
#endif
		/* Lost, doubled, out of order, or at another place. */
		assert(memory[r_memory[r_current] * LENGTH + r_filled] == r_next + 1);
#ifndef POSTED
		application = application | BIT(r_memory[r_current] * LENGTH + r_filled);
#endif
		r_next++;
		r_position++;
		r_filled++;
		i++
	:: else -> break
	od;
	i = 0
}

inline end_of_record()
{
	assert(r_next == RECORD_END(r_records));
	r_records++
}

inline receive_data()
{
	receive(length);
	if
	:: eor -> end_of_record()
	:: else
	fi;
	if
#ifdef POSTED
	:: eor -> finish()
#endif
#ifndef WHOLE
	:: !eor && r_filled == LENGTH -> finish()
#ifndef POSTED
	:: eor && r_filled == LENGTH -> finish()
#endif
#endif
	:: else
	fi
}

/* All receives that are left end at FIN; nothing can come after it. */
inline receive_fin()
{
#ifndef MUT_FIN_AT_ARRIVAL
	assert(r_next == BYTES && r_records == RECORDS);
#endif
	r_fin = true;
#ifdef POSTED
	application = BIT(MEMORIES * LENGTH) - 1
#endif
}

inline receive_trunc()
{
	assert(r_filled == LENGTH && r_next < RECORD_END(r_records));
	r_next = RECORD_END(r_records);
#ifndef MUT_TRUNC_NOT_RECORD
	r_records++;
#endif
	finish()
}

/* "seq and epoch are checked." The mutants that take runs out of turn switch the check of seq off:
 * it would find them first. */
#if defined(MUT_ARRIVAL_ORDER) || defined(MUT_FIN_AT_ARRIVAL) || defined(MUT_NO_EPOCH)
#define SEQUENCE_IS_RIGHT	true
#else
#define SEQUENCE_IS_RIGHT	(sequence == r_sequence)
#endif

inline process(n)
{
	arrived[n] ? kind, eor, length, epoch, sequence;
	if
	:: !EPOCH_IS(r_epoch)
	:: else ->
		assert(SEQUENCE_IS_RIGHT && !r_fin);
		r_sequence++;
		if
		:: kind == DATA -> receive_data()
		:: kind == FIN -> receive_fin()
		:: kind == STOP ->
			assert(r_current < r_granted);
			finish()
		:: kind == TRUNC -> receive_trunc()
		fi
	fi;
	kind = 0; eor = 0; length = 0; epoch = 0; sequence = 0
}

/* "R processes runs in position order: the next is the head of the rail of its current position." */
#ifdef MUT_ARRIVAL_ORDER
#define TURN(n)	nempty(arrived[n])
#else
#ifdef MUT_FIN_AT_ARRIVAL
#define TURN(n)	(nempty(arrived[n]) && (RAIL(r_position) == n || arrived[n] ?? [FIN, 0, 0, eval(r_epoch), _]))
#else
#define TURN(n)	(nempty(arrived[n]) && RAIL(r_position) == n)
#endif
#endif

/* A grant is one segment here. "A partly filled segment is granted again as its rest." */
inline grant()
{
#ifdef MUT_REST_FROM_START
	control ! GRANT, r_epoch, r_granted, r_memory[r_granted] * LENGTH, LENGTH;
#else
	if
	:: r_granted == r_current ->
		control ! GRANT, r_epoch, r_granted, r_memory[r_granted] * LENGTH + r_filled, LENGTH - r_filled
	:: else ->
		control ! GRANT, r_epoch, r_granted, r_memory[r_granted] * LENGTH, LENGTH
	fi;
#endif
	r_granted++
}

inline cancel(index)
{
	cancels--;
	control ! CANCEL, r_epoch, index, 0, 0;
	r_cancelling = r_cancelling | BIT(index);
#ifdef MUT_BACK_AT_CANCEL
	application = application | (MASK << (r_memory[index] * LENGTH))
#endif
}

/* The end of R's fence: what is not next in order is dropped; "cancels pending are finished by R at
 * the fence"; what is left gets consecutive indexes (found by this model, MUT_SPARSE). */
inline fence()
{
	do
	:: nempty(arrived[0]) -> arrived[0] ? _, _, _, _, _
	:: empty(arrived[0]) -> break
	od;
	do
	:: nempty(arrived[1]) -> arrived[1] ? _, _, _, _, _
	:: empty(arrived[1]) -> break
	od;
#if CANCELS > 0
	fence_cancels();
#endif
	report()
}

inline report()
{
#ifdef MUT_FULL_IS_FINISHED
	if
	:: r_filled == LENGTH -> finish()
	:: else
	fi;
#endif
	rep_position = r_position;
	rep_records = r_records;
	rep_fin = r_fin;
	rep_index = r_current;
	r_fencing = false;
	r_fenced = true
}

inline fence_cancels()
{
	i = r_current;
	length = r_current;
	do
	:: i < r_known ->
		if
		:: (r_cancelling | r_back) & BIT(i) ->
			application = application | (MASK << (r_memory[i] * LENGTH));
			if
			:: i == r_current -> r_filled = 0
			:: else
			fi
		:: else ->
			r_memory[length] = r_memory[i];
			length++
		fi;
		i++
	:: else -> break
	od;
#ifndef MUT_SPARSE
	r_known = length;
#endif
	r_cancelling = 0;
	r_back = 0;
	i = 0;
	length = 0
}

/* Both RESUMEs are known: new queue pairs, which know nothing of the old. */
inline connect()
{
#if !defined(SHARED) && !defined(MUT_NO_FENCE)
	do
	:: nempty(rail[0]) -> rail[0] ? _, _, _, _, _, _, _
	:: empty(rail[0]) -> break
	od;
	do
	:: nempty(rail[1]) -> rail[1] ? _, _, _, _, _, _, _
	:: empty(rail[1]) -> break
	od;
	do
	:: nempty(control) -> control ? _, _, _, _, _
	:: empty(control) -> break
	od;
#endif
	rewind();
	r_granted = rep_index;
	r_sequence = 0;
	r_epoch = 1 - r_epoch;
	s_epoch = 1 - s_epoch;
	s_fenced = false;
	r_fenced = false;
	lost = 0;
	failed = false
}

proctype receiver()
{
	byte kind, length, sequence, i;
	bit eor, epoch;

	do
	:: d_step { R_PROCESSES && TURN(0) -> process(0) }
	:: d_step { R_PROCESSES && TURN(1) -> process(1) }
	:: d_step { R_UP && !r_fin && r_granted < r_known && nfull(control) -> grant() }

#ifdef POSTED
	/* The application posts one more receive. */
	:: d_step { !OVER && r_posted < SEGMENTS ->
		r_memory[r_known] = r_posted;
		r_known++;
		r_posted++ }
#else
	/* The application has released all of a cell: it may be granted again, at the next index. */
	:: d_step { !OVER && r_released < r_current && r_known < SEGMENTS ->
		RELEASE;
		r_memory[r_known] = r_memory[r_released];
		r_known++;
		r_released++ }
#endif
#if CANCELS > 0
	:: d_step { R_UP && !r_fin && cancels > 0 && nfull(control) && r_current < r_granted && r_current < r_known -> cancel(r_current) }
	:: d_step { R_UP && !r_fin && cancels > 0 && nfull(control) && r_current + 1 < r_granted -> cancel(r_current + 1) }
#endif
#ifdef MUT_NO_FENCE
	:: d_step { failed && R_UP -> fence_cancels_only(); report() }
#else
	/* R fences: nothing arrives any more, */
	:: d_step { failed && R_UP -> r_fencing = true }
	/* and when all that did arrive is processed as far as it goes, R knows what to report. */
#ifdef MUT_DROP_ARRIVALS
	:: d_step { r_fencing -> fence() }
#else
	:: d_step { r_fencing && empty(arrived[RAIL(r_position)]) -> fence() }
#endif
#endif
	:: d_step { s_fenced && r_fenced && !OVER -> connect() }
#ifdef CLOSE
	/* The application closes with receives outstanding: it has its memory back once R is fenced. */
	:: d_step { R_UP ->
		r_closed = true;
		application = BIT(MEMORIES * LENGTH) - 1 }
#endif
	:: OVER -> break
	od
}
