/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of faults, each with the test that has to find it, and the decorators' installation. */
#include "fault_rma.h"

struct nmt_provider_ops fault_real;
enum fault_id fault_on = NO_FAULT;

#define RAW "tcp.raw.pool.host"
#define RAW_POSTED "tcp.raw.posted.host"
#define NEG "tcp.negotiated.pool.host"
#define REC "tcp.records.pool.host"
#define REC_POSTED "tcp.records.posted.host"

#define SIM "sim.negotiated.pool.host"
#define SIM_POSTED "sim.negotiated.posted.host"
#define SIM_REC "sim.records.pool.host"
#define SIM_3 "sim@3.negotiated.pool.host"
#define SIM_TINY "sim/tiny.negotiated.pool.host"

static const struct {
	enum fault_id id;
	struct fault fault;
} table[] = {
	{ TX_DROP, { "tx-drop", RAW, "t_send_recv" } },
	{ TX_DUPLICATE, { "tx-duplicate", RAW, "t_send_recv" } },
	{ TX_REORDER, { "tx-reorder", RAW, "t_sendmsg_recvmsg" } },
	{ TX_FLIP, { "tx-flip-a-bit", RAW, "t_tiny_sends_and_receives" } },
	{ TX_PARTIAL_MISCOUNTED, { "tx-partial-miscounted", RAW, "t_partial_send_counts" } },
	{ TX_EAGAIN_BUT_SENT, { "tx-eagain-but-sent", RAW, "t_half_close_client_first" } },
	{ TX_EOR_LOST, { "tx-eor-lost", REC, "t_record_boundaries_are_kept" } },
	{ TX_EOR_SPURIOUS, { "tx-eor-spurious", REC, "t_record_from_several_sends" } },
	{ TX_EMPTY_RECORD_LOST, { "tx-empty-record-lost", REC, "t_empty_records_exist" } },
	{ TX_HELD_BACK, { "tx-held-back", RAW, "t_readable_comes_again_for_new_bytes" } },
	{ SENT_EARLY, { "sent-early", RAW, "t_memory_may_change_after_sent" } },
	{ SENT_LOST, { "sent-lost", RAW, "t_tail_of_a_burst_completes" } },
	{ SENT_OUT_OF_ORDER, { "sent-out-of-order", RAW, "t_sent_comes_in_order" } },
	{ FLUSH_EARLY, { "flush-early", RAW, "t_flush_is_after_delivery" } },
	{ FLUSH_LOST, { "flush-lost", RAW, "t_flush_of_an_idle_stream" } },
	{ RX_FLIP, { "rx-flip-a-bit", RAW, "t_both_directions_at_once" } },
	{ RX_SHORT_COUNT, { "rx-short-count", RAW, "t_large_send_from_one_call" } },
	{ RX_EOR_LOST, { "rx-eor-lost", REC_POSTED, "t_record_of_exactly_the_size" } },
	{ RX_PEEK_CONSUMES, { "rx-peek-consumes", RAW, "t_peek_keeps_bytes" } },
	{ RX_EOF_LOST, { "rx-end-of-stream-lost", RAW, "t_end_of_stream_is_zero" } },
	{ RX_CUT_AS_EOF, { "rx-cut-as-end-of-stream", NEG, "t_cut_control_channel_is_reset" } },
	{ RX_STARVATION, { "rx-starvation", RAW, "t_endless_stream_starves_nobody" } },
	{ LOAN_OVERWRITTEN, { "loan-overwritten", RAW, "t_loans_stay_unchanged" } },
	{ LOAN_TWICE, { "loan-twice", RAW, "t_send_mr_frags" } },
	{ LOAN_ENDS_AT_ONCE, { "loan-ends-at-once", RAW, "t_info_counts_loans" } },
	{ RELEASE_IGNORED, { "release-ignored", RAW, "t_loans_recycle_memory" } },
	{ RELEASE_UNCHECKED, { "release-unchecked", RAW, "t_double_release_is_einval" } },
	{ POST_BEYOND, { "post-beyond-its-end", RAW_POSTED, "t_nothing_outside_the_post_is_touched" } },
	{ POST_WHOLE_IGNORED, { "post-whole-ignored", REC, "t_recv_whole_is_emsgsize" } },
	{ CANCEL_LOST, { "cancel-lost", RAW_POSTED, "t_cancel_tells_the_count" } },
	{ RECEIVED_LOST, { "received-lost", RAW_POSTED, "t_posts_fill_in_order" } },
	{ RECEIVES_STARVED,
	  { "receives-starved", RAW_POSTED, "t_sends_do_not_starve_receives" } },
	{ RECEIVED_SHORT, { "received-short", RAW_POSTED, "t_large_posts" } },
	{ COOKIE_WRONG, { "cookie-wrong", RAW_POSTED, "t_recv_depth_is_eagain" } },
	{ COPY_MISCOUNTED, { "copy-miscounted", RAW, "t_placed_and_borrowed_without_a_copy" } },
	{ READABLE_LOST, { "readable-lost", RAW, "t_readable_comes_again_for_new_bytes" } },
	{ READABLE_TOO_OFTEN, { "readable-too-often", RAW, "t_readable_comes_once_per_receive" } },
	{ WRITABLE_LOST, { "writable-lost", RAW, "t_writable_comes_after_eagain" } },
	{ BUDGET_IGNORED, { "budget-ignored", RAW, "t_turns_are_bounded_by_the_budget" } },
	{ CLOSE_LOSES_TAIL, { "close-loses-tail", RAW, "t_close_delivers_to_a_slow_reader" } },
	{ ABORT_AS_EOF, { "abort-as-end-of-stream", RAW, "t_abort_is_reset_at_the_peer" } },
	{ SHUTDOWN_LOST, { "shutdown-lost", RAW, "t_half_close_server_first" } },
	{ SHUTDOWN_BOTH, { "shutdown-ends-both-ways", RAW, "t_half_close_client_first" } },
	{ WAITS_HIDDEN, { "waits-hidden", RAW, "t_info_tells_what_is_waited_for" } },
	{ OPTION_IGNORED, { "option-ignored", RAW, "t_options_can_be_set_and_read" } },
	{ RMA_WRITE_DROPPED, { "rma-write-dropped", SIM, "t_send_recv" } },
	{ RMA_WRITE_DOUBLED, { "rma-write-doubled", SIM, "t_send_recv" } },
	{ RMA_WRITES_SWAPPED, { "rma-writes-swapped", SIM, "t_both_directions_at_once" } },
	{ RMA_WRONG_OFFSET, { "rma-wrong-offset", SIM_POSTED, "t_both_directions_at_once" } },
	{ RMA_SHORT_WRITE, { "rma-short-write", SIM, "t_both_directions_at_once" } },
	{ RMA_EOR_LOST, { "rma-eor-lost", SIM_REC, "t_record_boundaries_are_kept" } },
	{ RMA_IMM_BEFORE_BYTES, { "rma-immediate-before-bytes", SIM, "t_sendmsg_recvmsg" } },
	{ RMA_MESSAGE_DROPPED, { "rma-message-dropped", SIM, "t_large_send_from_one_call" } },
	{ RMA_MESSAGE_DOUBLED, { "rma-message-doubled", SIM, "t_large_send_from_one_call" } },
	{ RMA_MESSAGE_CUT, { "rma-message-cut", SIM, "t_large_send_from_one_call" } },
	{ RMA_MESSAGES_SWAPPED, { "rma-messages-swapped", SIM, "t_large_send_from_one_call" } },
	{ RMA_MESSAGE_READ_LATE, { "rma-message-read-late", SIM, "t_send_recv" } },
	{ RMA_SIGNAL_IGNORED, { "rma-signal-ignored", SIM, "t_tail_of_a_burst_completes" } },
	{ RMA_DOORBELL_LOST, { "rma-doorbell-lost", SIM, "t_readable_comes_again_for_new_bytes" } },
	{ RMA_WRITTEN_EARLY, { "rma-written-early", SIM_TINY, "t_send_mr_frags" } },
	{ RMA_WRITTEN_TOO_HIGH, { "rma-written-too-high", SIM_TINY, "t_send_mr_frags" } },
	{ RMA_ROOM_UNTOLD, { "rma-room-untold", SIM_TINY, "t_large_send_from_one_call" } },
	{ RMA_LENGTH_LIES, { "rma-length-lies", SIM, "t_both_directions_at_once" } },
	{ RMA_WRONG_RAIL, { "rma-wrong-rail", SIM_3, "t_large_send_from_one_call" } },
	{ RMA_SLOT_LOST, { "rma-slot-lost", SIM_TINY, "t_tiny_sends_and_receives" } },
	{ RMA_CTRL_SLOT_LOST, { "rma-ctrl-slot-lost", SIM_TINY, "t_large_send_from_one_call" } },
	{ RMA_CONNECTED_LOST, { "rma-connected-lost", SIM, "t_send_recv" } },
	{ RMA_FAILED_LOST, { "rma-failed-lost", SIM, "t_lost_path_loses_no_bytes" } },
	{ RMA_FENCE_LOSES, { "rma-fence-loses", SIM_POSTED, "t_completed_sends_survive_a_lost_path" } },
	{ RMA_DRAINED_EARLY, { "rma-drained-early", SIM_POSTED, "t_completed_sends_survive_a_lost_path" } },
	{ RMA_DRAINED_LOST, { "rma-drained-lost", SIM, "t_lost_path_loses_no_bytes" } },
	{ RMA_OLD_EPOCH_WRITES,
	  { "rma-old-epoch-writes", SIM_POSTED, "t_memory_that_came_back_is_left_alone" } },
	{ RMA_ARM_LOSES, { "rma-arm-loses-wakeup", SIM_TINY, "t_arm_with_poll" } },
	{ RMA_REG_NOT_REMOTE, { "rma-reg-not-remote", SIM, "t_send_recv" } },
	{ RMA_DEREG_EARLY, { "rma-dereg-early", SIM, "t_send_recv" } },
	{ RMA_DEREG_LOST, { "rma-dereg-lost", SIM, "t_send_recv" } },
};

const struct fault *fault_at(unsigned int n)
{
	return n < ARRAY_LEN(table) ? &table[n].fault : NULL;
}

const struct fault *fault_find(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_LEN(table); i++)
		if (!strcmp(table[i].fault.name, name))
			return &table[i].fault;
	return NULL;
}

static size_t own_offset(void)
{
	return (fault_real.stream_size + 63) & ~(size_t)63;
}

struct fault_stream *fault_of(struct nmt_stream *s)
{
	return (struct fault_stream *)((char *)s->priv + own_offset());
}

static int provider_add(struct nmt_ctx *ctx)
{
	const struct nmt_provider_ops *real = nmti_provider_find(ctx, "tcp");
	struct nmt_provider_ops ops;

	if (!real)
		return -ENODEV;
	ops = fault_real = *real;
	ops.stream_size = own_offset() + sizeof(struct fault_stream);
	fault_tx_ops(&ops);
	fault_rx_ops(&ops);
	fault_life_ops(&ops);
	return nmti_provider_add(ctx, &ops);
}

int faults_add(struct nmt_ctx *ctx, const struct fault *fault)
{
	for (unsigned int i = 0; i < ARRAY_LEN(table); i++)
		if (&table[i].fault == fault)
			fault_on = table[i].id;
	return fault_on >= RMA_FAULTS ? faults_rma_add(ctx) : provider_add(ctx);
}
