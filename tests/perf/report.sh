# SPDX-License-Identifier: BSD-2-Clause
# What is printed: columns, JSON, sweeps, interim lines.

. "$(dirname "$0")/lib.sh"
start_server
t="--provider tcp --stall 5"

exits 0 "$perf" --help
for word in bw lat rr conn bidir --threads --verify --provider --once "Exit status"; do
	says "$word" run.out
done
exits 0 "$perf" --version
says "nmt_perf 0." run.out

exits 0 "$perf" bw $t -D 100ms "$addr"
says " #bytes     #iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]" run.out
says "s/GiB" run.out
exits 0 "$perf" -D 100ms $t --report-mib "$addr" # bw is the default
says "BW average[MiB/sec]" run.out
exits 0 "$perf" lat $t -n 200 --verify "$addr"
says "t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]" run.out
says "99.99% percentile[usec]" run.out
says "Verified: 14080 bytes at the client, 14080 at the server" run.out
exits 0 "$perf" -b $t -n 10 "$addr"
says " bidir: provider tcp" run.out

# Interim lines: of the receiver for bw, of the client for rr.
exits 0 "$perf" bw $t -D 700ms --interval 200ms "$addr"
[ "$(grep -c ' s  .*Gb/sec' run.out)" -ge 2 ] || fail "interim lines of bw"
exits 0 "$perf" rr $t -D 700ms --interval 200ms "$addr"
[ "$(grep -c ' s  .*transactions/sec' run.out)" -ge 2 ] || fail "interim lines of rr"

# One object, to standard output or a file, and nothing else there.
exits 0 "$perf" bw $t -n 100 -s 1000 --json "$addr"
holds run.out "d['schema'] == 'nmt_perf/1' and d['test'] == 'bw' and d['size'] == 1000"
holds run.out "d['params']['iterations'] == 100 and d['params']['warm_iterations'] == 10"
holds run.out "all(k in d for k in ('bytes', 'bw_bytes_per_s', 'bw_peak', 'msg_per_s'))"
holds run.out "d['cpu']['client_s'] >= 0 and d['cpu']['server_s'] >= 0"
holds run.out "d['stats']['server']['rx_bytes'] == 110 * 1000 + 32"
holds run.out "'lat_us' not in d and d['verified'] == 0"
exits 0 "$perf" lat $t -n 100 --json=lat.json "$addr"
says "t_typical" run.out
holds lat.json "all(k in d['lat_us'] for k in
	('min', 'p50', 'p90', 'p99', 'p99_9', 'p99_99', 'max', 'avg', 'stdev'))"
holds lat.json "d['lat_us']['min'] <= d['lat_us']['p50'] <= d['lat_us']['max']"

# A sweep on one control stream.
exits 0 "$perf" bw $t -a -n 20 --verify --json=sweep.json "$addr"
holds sweep.json "[r['size'] for r in d['rows']] == [2 ** i for i in range(1, 24)]"
holds sweep.json "all(r['verified'] == 22 * r['size'] for r in d['rows'])"
[ "$(grep -cE '^ [0-9]+ +20 ' run.out)" = 23 ] || fail "rows of the sweep"

# The figures are those of the receiver and of the time that was asked for.
exits 0 "$perf" bw $t -D 500ms --json=time.json "$addr"
holds time.json "0.45 < d['seconds'] < 1.5"
holds time.json "abs(d['bytes'] / d['seconds'] / d['bw_bytes_per_s'] - 1) < 0.001"
holds time.json "d['bw_peak'] >= d['bw_bytes_per_s'] * 0.999"
holds time.json "d['bytes'] < d['stats']['server']['rx_bytes']" # the warm-up is not counted
stop_server
pass
