#!/usr/bin/env bats
# Replacing the driver of a device while it is in use.

load lib

# How often, where the number matters (500 for the figures of the README).
reruns=${BDUS_RERUNS:-20}

teardown() {
	unhog
	[[ ! -e /dev/mapper/slow ]] || dmsetup resume slow
	bdus destroy --all --no-flush --timeout 10 || true
	[[ ! -d /sys/module/dm_mod ]] || dmsetup remove_all
	[[ ! -d /sys/module/brd ]] || wait_until 5 rmmod brd
	common_teardown
}

@test "reruns under load: no error, no bad block" {
	truncate -s 64M file
	start bdus loop file
	start_verify
	for ((n = 1; n <= reruns; n++)); do
		bdus rerun "$id" loop file
	done
	[[ $(attribute restarts) == "$reruns" ]]
	end_verify
	[[ $(attribute last_reason) == replaced ]]
	[[ $(pgrep -xc bdus) == 1 ]]
}

@test "reruns under a mounted file system: files stay what they are" {
	truncate -s 128M file
	start bdus loop file
	files_stay ext4 "$reruns" rerun_loop e2fsck -fn
}

rerun_loop() { bdus rerun "$dev" loop file; }

@test "from one disk to another that holds the same" {
	start bdus ram --size 64M
	one=$dev
	start bdus ram --size 64M
	two=$dev
	start bdus loop "$one"
	fill_pattern data 1048576
	dd if=data of="$dev" bs=64k oflag=direct status=none
	dd if="$one" of="$two" bs=1M status=none
	bdus rerun "$id" loop "$two"
	[[ $(attribute backing) == "$two" ]]
	cmp -n 1048576 data "$dev"
	# the first one is free, the second one taken
	bdus loop "$one"
	run -5 --separate-stderr bdus loop "$two"
	[[ $stderr == *"$two"*'in use'* ]]
	bdus destroy --all --force
}

@test "zero by zero" {
	start bdus zero --size 64M
	bdus rerun "$id" zero --size 64M
	cmp -n 1048576 "$dev" /dev/zero
	wait_until 5 has_ended "$pid"
}

@test "the driver may be another kind, and read-only" {
	truncate -s 64M file
	start bdus zero --size 64M --read-only
	bdus rerun "$id" loop file
	[[ $(attribute driver) == loop ]]
	[[ $(blockdev --getro "$dev") == 1 ]]
}

@test "ram is refused, since its content would be lost, and forced" {
	start bdus ram --size 64M
	run -1 --separate-stderr bdus rerun "$id" ram --size 64M
	[[ $stderr == *'content of a ram disk is lost'*--force* ]]
	run -1 bdus rerun "$id" zero --size 64M
	[[ $(attribute pid) == "$pid" ]]
	bdus rerun --force "$id" ram --size 64M
	[[ $(attribute pid) != "$pid" ]]
}

# refused PART-OF-MESSAGE STATUS COMMAND...: and the old driver serves on
refused() {
	run -"$2" --separate-stderr "${@:3}"
	[[ $stderr == *"$1"* ]]
	[[ $(attribute pid) == "$pid" ]]
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
}

@test "what does not fit is refused, each with its reason" {
	truncate -s 64M file
	truncate -s 128M large
	truncate -s 32M small
	start bdus loop --block-size 1024 file
	refused "has 67108864 bytes, the new driver 134217728" 1 \
		bdus rerun "$id" loop large
	refused "--sizelimit 67108864" 1 bdus rerun "$id" loop large
	refused "the new driver 33554432" 1 bdus rerun "$id" loop small
	refused "has blocks of 1024 bytes, the new driver of 4096" 1 \
		bdus rerun "$id" loop --block-size 4096 file
	refused "has physical blocks of" 1 \
		bdus rerun "$id" loop --physical-block-size 65536 file
	refused "may use write, which the new driver does not do" 1 \
		bdus rerun "$id" loop --read-only file
	refused "no/such: cannot open" 1 bdus rerun "$id" loop no/such
	refused "is for --create" 2 bdus rerun "$id" loop --size 1M file
	refused "unknown command 'lop'" 127 bdus rerun "$id" lop file
	refused "expects FILE|DEVICE" 2 bdus rerun "$id" loop
	refused "needs a device, and a driver" 2 bdus rerun "$id"
	refused "no such device" 4 bdus rerun 999 loop file
	bdus rerun "$id" loop --sizelimit 64M large
	[[ $(attribute backing) == */large ]]
}

@test "limits of the new driver must be enough" {
	start bdus zero --size 64M
	truncate -s 64M file
	refused "may send a write zeroes of" 1 bdus rerun "$id" loop file
}

@test "more operations than before are unused" {
	truncate -s 64M file
	start_raw --file file --recovery 30000
	bdus rerun "$id" loop file
	[[ $(cat "/sys/block/bdus-$id/queue/write_zeroes_max_bytes") == 0 ]]
	dd if=/dev/urandom of="$dev" bs=64k count=8 oflag=direct,sync status=none
	cmp file "$dev"
	wait_until 5 has_ended "$pid"
}

@test "the lock on the backing is never free" {
	truncate -s 64M file
	start bdus loop file
	(until [[ -e finished ]]; do
		! bdus loop file 2>>taken || touch stolen
	done) 3>&- 4>&- &
	for ((n = 1; n <= 10; n++)); do
		bdus rerun "$id" loop file
	done
	touch finished
	wait
	[[ ! -e stolen ]]
	grep -q 'file: is in use' taken
}

@test "a rerun that is refused leaves the lock as it was" {
	truncate -s 64M file
	start bdus loop file
	refused "may use write" 1 bdus rerun "$id" loop --read-only file
	# one that only reads could share a lock for reading
	run -5 bdus loop --read-only file
}

# The lock has a number that a low limit of open files does not allow.
@test "a low limit of open files is raised, or told" {
	truncate -s 64M file
	start prlimit --nofile=64:1024 bdus loop --supervise file
	prlimit --nofile=64:1024 bdus rerun "$id" loop file
	kill -9 "$(attribute pid)"
	wait_until 10 has_restarts 2
	wait_until 10 is_in_state live
	run -5 --separate-stderr bdus loop file
	[[ $stderr == *'file: is in use'* ]]
	pid=$(attribute pid)
	refused 'open files (ulimit -Hn) is 64, bdus needs 203' 1 \
		prlimit --nofile=64:64 bdus rerun "$id" loop file
	run -1 prlimit --nofile=64:64 bdus zero --size 1M
	[[ $output == *'bdus needs 203'* ]]
}

@test "time-outs and recovery persist unless given anew" {
	truncate -s 64M file
	start bdus loop --recoverable --recovery-timeout 77 --timeout 55 file
	bdus rerun "$id" loop file
	[[ $(attribute recoverable) == 1 ]]
	[[ $(attribute recovery_timeout_ms) == 77000 ]]
	[[ $(attribute timeout_ms) == 55000 ]]
	bdus rerun "$id" loop --timeout 44 --recovery-timeout 0 \
		--on-hang hold file
	[[ $(attribute recoverable) == 1 ]]
	[[ $(attribute recovery_timeout_ms) == 0 ]]
	[[ $(attribute timeout_ms) == 44000 ]]
	[[ $(attribute on_hang) == hold ]]
}

@test "a supervisor persists" {
	truncate -s 64M file
	start bdus loop --supervise file
	bdus rerun "$id" loop file
	[[ $(attribute supervised) == 1 ]]
	wait_until 5 has_processes 2
	kill -9 "$(attribute pid)"
	wait_until 10 has_restarts 2
	cmp -n 65536 file "$dev"
}

has_processes() { # N
	[[ $(pgrep -xc bdus) == "$1" ]]
}

# candidate_dies POINT: again and again, and the old driver serves on
candidate_dies() {
	local n
	for ((n = 0; n < ${BDUS_DEATH_ROUNDS:-5}; n++)); do
		run -137 rawdrv --file file --rerun "$id" --at "$1" \
			--recovery 30000
		[[ $(attribute pid) == "$pid" ]]
		dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
	done
	[[ $(attribute restarts) == 0 ]]
}

@test "a candidate that dies before it starts: the old driver serves on" {
	truncate -s 64M file
	start_raw --file file --recovery 30000
	start_verify
	candidate_dies attached
	end_verify
}

@test "a candidate that dies while the old driver finishes changes nothing" {
	truncate -s 64M file
	start_raw --file file --at ignore-flush --recovery 30000
	for ((round = 0; round < ${BDUS_DEATH_ROUNDS:-5}; round++)); do
		run -137 rawdrv --file file --rerun "$id" --at starting \
			--recovery 30000
		[[ $(attribute pid) == "$pid" ]]
	done
	# its last flush is still with the old driver, which can only die
	kill -9 "$pid"
	bdus rerun "$id" loop file
	cmp -n 65536 file "$dev"
}

@test "a rerun that is killed while the old driver finishes changes nothing" {
	truncate -s 64M file
	start_raw --file file --at ignore-flush --recovery 30000
	for ((n = 0; n < ${BDUS_DEATH_ROUNDS:-5}; n++)); do
		bdus rerun "$id" loop file 3>&- 4>&- &
		rerun=$!
		wait_until 5 is_candidate_waiting
		kill "$rerun"
		wait "$rerun" || true
		wait_until 5 no_bdus
	done
	[[ $(attribute pid) == "$pid" ]]
	kill -9 "$pid"
	wait "$pid" || true
	bdus rerun "$id" loop file
}

no_bdus() { ! pgrep -x bdus >/dev/null; }

# Its process waits in KBDUS_START, which shows in the workers' number.
is_candidate_waiting() {
	local pids
	pids=$(pgrep -x bdus) || return 1
	for p in $pids; do
		grep -Eq 'session_go|take_over' "/proc/$p/wchan" && return 0
		grep -Eq 'session_go|take_over' "/proc/$p/stack" && return 0
	done
	return 1
}

# hog CPU: nothing else runs there any more, until unhog
hog() {
	rt_runtime=$(cat /proc/sys/kernel/sched_rt_runtime_us)
	echo -1 >/proc/sys/kernel/sched_rt_runtime_us
	taskset -c "$1" chrt -f 50 bash -c 'while :; do :; done' 3>&- 4>&- &
	hog=$!
}
unhog() {
	[[ ${hog-} ]] || return 0
	kill -9 "$hog"
	hog=
	echo "$rt_runtime" >/proc/sys/kernel/sched_rt_runtime_us
}

# in tenths of a second
uptime_now() { awk '{ print int($1 * 10) }' /proc/uptime; }
is_up_for() { (($(uptime_now) >= $1)); }

# The time-stamp that this was measured by was 0, in the kernel's clock five
# minutes after the start of the machine: only from then on this can fail.
@test "a candidate that does not get to run is not killed for it" {
	modprobe brd rd_nr=1 rd_size=65536
	dmsetup create slow --table '0 131072 linear /dev/ram0 0'
	start taskset -c 0 bdus loop /dev/mapper/slow
	# the last flush of the old driver has something to write, and waits
	dmsetup suspend slow
	dd if=/dev/urandom of="$dev" bs=4k count=1 oflag=direct status=none
	truncate -s 64M file
	bdus rerun "$id" loop file >rerun.out 2>&1 3>&- 4>&- &
	rerun=$!
	wait_until 5 is_candidate_waiting
	for candidate in $(pgrep -x bdus); do
		[[ $candidate == "$pid" ]] || taskset -apc 1 "$candidate"
	done >/dev/null
	hog 1
	dmsetup resume slow
	# two periods of the watchdog
	wait_until 10 is_up_for $(($(uptime_now) + 25))
	unhog
	wait "$rerun"
	has_restarts 1
	[[ $(attribute pid) != "$pid" ]]
}

@test "once it has taken over, nothing that goes wrong ends the device" {
	truncate -s 64M file
	start bdus loop file
	for how in '--pidfile no/such/pid' '--log no/such/log'; do
		# shellcheck disable=SC2086 # two words
		run -0 --separate-stderr bdus rerun "$id" loop $how file
		[[ $stderr == *no/such/* && $output == "$dev" ]]
	done
	[[ $(attribute restarts) == 2 ]]
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
	[[ $(pgrep -xc bdus) == 1 ]]
}

@test "two reruns at once: one wins, the other is told" {
	truncate -s 64M file
	start_raw --file file --at ignore-flush --recovery 30000
	bdus rerun "$id" loop file 3>&- 4>&- &
	rerun=$!
	wait_until 5 is_candidate_waiting
	run -5 --separate-stderr bdus rerun "$id" zero --size 64M
	[[ $stderr == *'somebody else is taking it over'* ||
		$stderr == *'may use'* ]]
	# destroy is told too
	run -5 --separate-stderr bdus destroy --no-flush "$id"
	[[ $stderr == *'taking it over'* ]]
	kill -9 "$pid"
	wait "$rerun"
	[[ $(attribute driver) == loop ]]
}

@test "the old driver dies half way: a recoverable device goes on" {
	truncate -s 64M file
	for ((n = 0; n < ${BDUS_DEATH_ROUNDS:-5}; n++)); do
		start_raw --file file --at flush --recovery 30000
		start_verify --fsync=0
		bdus rerun "$id" loop file
		[[ $(attribute driver) == loop ]]
		end_verify
		bdus destroy "$id"
	done
}

@test "the old driver dies half way: another device goes, with errors" {
	truncate -s 64M file
	start_raw --file file --at flush
	run -1 --separate-stderr bdus rerun "$id" loop file
	[[ $stderr == *'the device is gone'* ]]
	wait_until 5 is_gone "$dev"
}

@test "an old driver that cannot flush is not replaced" {
	truncate -s 64M file
	start_raw --file file --error EIO --error-op flush
	run -1 --separate-stderr bdus rerun "$id" loop file
	[[ $stderr == *'I/O error'* ]]
	[[ $(attribute pid) == "$pid" ]]
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
	bdus destroy --no-flush "$id"
}

@test "a device that is being destroyed is refused" {
	truncate -s 64M file
	start_raw --file file --at ignore
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct 2>dd.out 3>&- 4>&- &
	wait_until 5 has_in_flight
	run -6 bdus destroy --force --no-flush --timeout 1 "$id" 3>&- 4>&- &
	destroy=$!
	wait_until 5 is_ending
	run ! --separate-stderr bdus rerun "$id" loop file
	[[ $stderr == *'being destroyed'* || $stderr == *'is gone'* ||
		$stderr == *'no such device'* ]]
	wait "$destroy" || true
	wait_until 10 is_gone "$dev"
}

is_ending() { [[ $(attribute state 2>/dev/null) != live ]]; }

@test "the pid file is the new driver's" {
	truncate -s 64M file
	start bdus loop --pidfile "$dir/pid" file
	[[ $(cat pid) == "$pid" ]]
	bdus rerun "$id" loop --pidfile "$dir/pid" file
	wait_until 5 has_ended "$pid"
	[[ $(cat pid) == "$(attribute pid)" ]]
	kill "$(cat pid)"
	wait_until 5 is_gone "$dev"
	wait_until 5 is_gone "$dir/pid"
}
