/* SPDX-License-Identifier: BSD-2-Clause
 *
 * S, the sender of stream.pml: its runs, the memory it borrows, cancels, the rewind of a resume.
 */

#define S_UP		(!s_fenced && !OVER)
#define S_CAN		(S_UP && nfull(rail[RAIL(s_position)]))
#define S_HAS		(s_current < s_granted)
#define S_MARKED	(S_HAS && (s_marked & BIT(s_current)))
#define S_ROOM		(s_length[s_current] - s_filled)
/* Pool mode: "or of several segments that lie one behind the other in memory." */
#ifdef MUT_SPAN_ANY
#define S_ADJOINS	true
#else
#define S_ADJOINS	(s_address[s_current] + s_length[s_current] == s_address[s_current + 1])
#endif
#define S_LEFT		(RECORD_END(s_record) - s_next)

#ifdef MUT_STOP_AFTER_FIN
#define S_FIN_SENT	false
#else
#define S_FIN_SENT	s_fin
#endif

inline send_run(kind, eor, length)
{
	rail[RAIL(s_position)] ! kind, eor, length, s_epoch, s_sequence, s_address[(S_HAS -> s_current : 0)] + s_filled, s_next;
	s_sequence++
}

inline next_segment()
{
	s_current++;
	s_filled = 0;
#ifdef MUT_SKIP_SILENT
	/* The rule as first written: both sides skip a cancelled index, with nothing in order to say so. */
	do
	:: S_MARKED -> s_current++
	:: else -> break
	od;
	skip
#endif
}

inline end_record()
{
	s_record++;
	s_truncated = false;
	s_begin[s_record] = s_position
}

/* "Pool mode: a segment ends when it is full. Posted mode: when it is full, or by EOR, STOP, TRUNC."
 * A full segment with WHOLE waits for the end of the record. */
inline send_data(n, eor)
{
	send_run(DATA, eor, n);
	s_next = s_next + n;
	s_position = s_position + n;
	s_filled = s_filled + n;
#ifdef SPAN
	if
	:: s_filled > s_length[s_current] -> /* by one byte */
		next_segment();
		s_filled = 1
	:: else
	fi;
#endif
	if
	:: eor -> end_record()
	:: else
	fi;
	if
#ifdef POSTED
	:: eor -> next_segment()
#endif
#ifndef WHOLE
	:: !eor && s_filled == s_length[s_current] -> next_segment()
#ifndef POSTED
	:: eor && n > 0 && s_filled == s_length[s_current] -> next_segment()
#endif
#endif
	:: else
	fi
}

/* "Granted, and nothing was written to it: SKIPPED, and STOP when it is reached. Written to in part:
 * KEPT, and STOP. Ended already: KEPT." (KEPT changes nothing, and is left out.) After FIN nothing:
 * FIN ends all segments that are left. */
#ifdef MUT_SKIP_SILENT
#define NOT_WRITTEN	(index > s_current)
#else
#define NOT_WRITTEN	(index > s_current || s_filled == 0)
#endif

inline hear_cancel()
{
	if
#ifndef MUT_STOP_AFTER_FIN
	:: s_fin
#endif
	:: index < s_current
	:: index >= s_current && !NOT_WRITTEN -> s_marked = s_marked | BIT(index)
	:: else ->
#ifndef MUT_CANCEL_NO_MARK
		s_marked = s_marked | BIT(index);
#endif
		s_answer = s_answer | BIT(index)
	fi
}

inline hear()
{
	control ? kind, epoch, index, address, length;
	if
	:: !EPOCH_IS(s_epoch)
#ifdef MUT_KEEP_GRANTS
	:: EPOCH_IS(s_epoch) && kind == GRANT && index < s_granted	/* S has it already */
	:: EPOCH_IS(s_epoch) && kind == GRANT && index >= s_granted ->
#else
	:: EPOCH_IS(s_epoch) && kind == GRANT ->
#endif
		assert(index == s_granted);
		s_address[index] = address;
		s_length[index] = length;
		s_granted++
	:: else -> hear_cancel()
	fi;
	kind = 0; epoch = 0; index = 0; address = 0; length = 0
}

/* The first answer that is due. It may come late: behind STOP even. */
inline answer()
{
	index = 0;
	do
	:: s_answer & BIT(index) -> break
	:: else -> index++
	od;
	s_answer = s_answer & ~BIT(index);
	rail[0] ! SKIPPED, 0, 0, s_epoch, 0, index, 0;
	index = 0
}

/* "S rewinds to R's (offset, records): never below what was given back, never above what it sent.
 * Segments known to S are forgotten." */
inline rewind()
{
#ifdef MUT_RESUME_BY_COMPLETION
	rep_position = s_given_back;
#endif
	assert(rep_position <= s_position && rep_records <= s_record);
	s_record = rep_records;
	s_position = rep_position;
	s_next = RECORD_START(rep_records) + rep_position - s_begin[rep_records];
	s_truncated = false;
	s_fin = rep_fin;
	fin_completed = rep_fin;
	assert(s_next >= s_given_back);
	completed = BIT(s_next) - 1;
#ifndef MUT_KEEP_GRANTS
	s_granted = rep_index;
	s_current = rep_index;
	s_filled = 0;
	s_marked = 0;
#else
	s_current = (s_current < rep_index -> rep_index : s_current);
#endif
	s_answer = 0;
	s_sequence = 0
}

proctype sender()
{
	byte kind, index, address, length;
	bit epoch;

	do
	:: d_step { S_UP && nempty(control) -> hear() }
	:: d_step { S_UP && s_answer && nfull(rail[0]) -> answer() }

	/* A marked segment is ended by STOP when it is reached, begun or not. */
	:: d_step { S_CAN && S_MARKED && !S_FIN_SENT -> send_run(STOP, 0, 0); next_segment() }

	/* Runs of 1 or 2 bytes, not beyond segment, record, stripe. */
	:: d_step { S_CAN && S_HAS && !S_MARKED && S_ROOM > 0 && S_LEFT > 0 -> send_data(1, 0) }
#if STRIPE > 1
	:: d_step { S_CAN && S_HAS && !S_MARKED && S_ROOM > 1 && S_LEFT > 1 && s_position % STRIPE == 0 ->
		send_data(2, 0) }
#ifdef SPAN
	:: d_step { S_CAN && s_current + 1 < s_granted && S_ADJOINS && S_ROOM == 1 && S_LEFT > 1 && s_position % STRIPE == 0 ->
		send_data(2, 0) }
#endif
#endif
#if RECORDS > 0
	/* The last byte of a record, with its EOR; or EOR alone, if it was not known yet. */
	:: d_step { S_CAN && S_HAS && !S_MARKED && S_ROOM > 0 && S_LEFT == 1 -> send_data(1, 1) }
#ifdef POSTED
	:: d_step { S_CAN && S_HAS && !S_MARKED && s_record < RECORDS && S_LEFT == 0 -> send_data(0, 1) }
#else
	:: d_step { S_CAN && s_record < RECORDS && S_LEFT == 0 -> send_data(0, 1) }
#endif
#endif
#ifdef WHOLE
	/* "When the segment is full and its record has more bytes, S sends TRUNC and discards the rest
	 * of the record; discarded bytes have no stream position." */
	:: d_step { S_CAN && S_HAS && !S_MARKED && S_ROOM == 0 && S_LEFT > 0 ->
		send_run(TRUNC, 0, 0);
#ifdef MUT_DISCARD_EARLY
		completed = completed | (BIT(RECORD_END(s_record)) - BIT(s_next));
#endif
		s_next = RECORD_END(s_record);
		end_record();
		next_segment() }
#endif
	:: d_step { S_CAN && s_next == BYTES && s_record == RECORDS && !s_fin ->
		send_run(FIN, 0, 0);
		s_fin = true }

	/* "An operation is given back (SENT) when all its runs completed, in order." */
#ifdef MUT_EARLY_SENT
	:: d_step { S_UP && s_given_back < s_next -> s_given_back++ }
#else
	:: d_step { S_UP && (completed & BIT(s_given_back)) -> s_given_back++ }
#endif

	/* S fences: its queue pairs to error; nothing leaves any more. */
	:: d_step { failed && S_UP -> s_fenced = true }
#ifdef CLOSE
	/* The application closes: memory lent to S goes back to it, when nothing can leave any more. */
	:: d_step { S_UP ->
#ifndef MUT_ABORT_NO_DRAIN
		s_fenced = true;
#endif
		s_given_back = BYTES;
		s_closed = true }
#endif
	:: OVER -> break
	od
}
