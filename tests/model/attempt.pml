/* SPDX-License-Identifier: BSD-2-Clause
 *
 * How two ends agree on the offer whose path the stream takes, or that there is none: SELECT, DECLINE
 * and CONFIRM on the control connection, while paths come up, fail, and are lost again.
 *
 * Left out: data sockets (they are paths here), the deadline of the whole (a path may fail at any time,
 * so everything ends), and a control connection that breaks.
 */

#ifndef OFFERS
#define OFFERS	3
#endif
#define NONE	255

mtype:word = { SELECT, DECLINE, UP, FAIL };	/* UP: CONFIRM(0); FAIL: CONFIRM(another status) */
mtype:step = { waits, trying, ready, failed, open, dead };

chan to_client = [4] of { mtype:word, byte };
chan to_server = [4] of { mtype:word };

byte open_offer[2] = NONE;	/* client, server */
byte ended;

proctype client()
{
	mtype:step at = waits;
	byte offer = NONE, next;
	bool up, peer_up, said;

	do
	:: atomic { at == waits && to_client ? [SELECT, _] -> to_client ? SELECT, next;
		assert(offer == NONE || next > offer);
		offer = next; next = 0; up = false; peer_up = false; said = false; at = trying }
	:: atomic { at == waits && to_client ? [DECLINE, _] -> to_client ? DECLINE, _; at = dead }

	/* The path comes up, or fails, or is lost when it was up. */
	:: d_step { at == trying && !up -> up = true }
	:: atomic { at == trying -> to_server ! FAIL; at = failed }
	/* "Its own path is up and the server has confirmed": nothing else opens the stream. */
#ifdef MUT_EITHER_FIRST
	:: atomic { at == trying && up && !said -> to_server ! UP; said = true }
	:: d_step { at == trying && said && peer_up -> at = open }
#else
	:: atomic { at == trying && up && peer_up -> to_server ! UP; at = open }
#endif

	:: atomic { (at == trying || at == failed) && to_client ? [UP, _] -> to_client ? UP, _; peer_up = true }
	:: atomic { at == trying && to_client ? [FAIL, _] -> to_client ? FAIL, _; to_server ! FAIL; at = waits }
	:: atomic { at == failed && to_client ? [FAIL, _] -> to_client ? FAIL, _; at = waits }
	:: at == open || at == dead -> break
	od;
	atomic {
		if
		:: at == open -> open_offer[0] = offer
		:: else
		fi;
		ended++
	}
}

inline select_next()
{
	offer++;
	if
	:: offer < OFFERS -> to_client ! SELECT, offer; at = trying
	:: else -> to_client ! DECLINE, 0; at = dead
	fi
}

proctype server()
{
	mtype:step at = waits;
	byte offer = NONE;	/* + 1 is 0 */

	do
	:: atomic { at == waits -> select_next() }

	:: atomic { at == trying -> to_client ! UP, offer; at = ready }
#ifdef MUT_NO_WAIT
	:: atomic { at == trying -> to_client ! FAIL, offer; select_next() }
#else
	:: atomic { at == trying -> to_client ! FAIL, offer; at = failed }
#endif
#ifdef MUT_TAKE_BACK
	:: atomic { at == ready -> to_client ! FAIL, offer; at = failed }
#endif

	:: atomic { at == ready && to_server ? [UP] -> to_server ? UP; at = open }
	:: atomic { (at == trying || at == ready) && to_server ? [FAIL] ->
		to_server ? FAIL; to_client ! FAIL, offer; select_next() }
	:: atomic { at == failed && to_server ? [FAIL] -> to_server ? FAIL; select_next() }
	:: at == open || at == dead -> break
	od;
	atomic {
		if
		:: at == open -> open_offer[1] = offer
		:: else
		fi;
		ended++
	}
}

init {
	atomic {
		run client();
		run server()
	}
	ended == 2;
	assert(open_offer[0] == open_offer[1])
}
