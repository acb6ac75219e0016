#!/usr/bin/env bats
# checker: disks keep what they acknowledged, and the block checker notices
# when they do not.

load lib

seconds=${BDUS_CHECK_SECONDS:-3}

# checked STATUS NAME... -- COMMAND...: blockcheck's exit status; its summary
# has a number other than 0 for each NAME, and for none else
checked() {
	local wanted=$1 bad='' name n
	shift
	while [[ $1 != -- ]]; do
		bad+="$1 " && shift
	done
	run -"$wanted" --separate-stderr blockcheck "${@:2}"
	# shellcheck disable=SC2154 # bats sets them
	echo "$output" "$stderr"
	for name in lost torn foreign stale misplaced 'client errors'; do
		[[ $output =~ ([0-9]+)" $name," ]]
		n=${BASH_REMATCH[1]}
		if [[ " $bad" == *" $name "* ]]; then ((n > 0)); else ((n == 0)); fi
	done
}

@test "ram keeps what it acknowledged" {
	start bdus ram --size 64M
	checked 0 -- run --log log --seconds "$seconds" "$dev"
	[[ $output =~ (^|$'\n')([0-9]+)" operations" ]]
	((BASH_REMATCH[2] > 1000))
}

@test "loop keeps what it acknowledged, to the next time and without a kernel" {
	truncate -s 64M file
	start bdus loop file
	checked 0 -- run --log log --seconds "$seconds" "$dev"
	bdus destroy "$dev"
	checked 0 -- judge --log log file
	checked 0 -- judge --log log --after power-loss file
	start bdus loop file
	checked 0 -- judge --log log "$dev"
}

@test "blocks of 4 KiB, and a backing that is a device" {
	start bdus ram --size 64M --block-size 4K
	start bdus loop --block-size 4K "$dev"
	checked 0 -- run --log log --seconds "$seconds" --depth 4 --writers 4 \
		"$dev"
}

# start_checker: until end_checker, which says what it found
start_checker() {
	blockcheck run --log log --seconds 3000 --depth 16 "$dev" >run.out \
		2>&1 3>&- 4>&- &
	checker=$!
	wait_until 20 has_written 500
}

end_checker() {
	kill -TERM "$checker"
	wait "$checker" || { cat run.out && return 1; }
	grep ' 0 lost, 0 torn, 0 foreign, 0 stale, 0 misplaced, 0 client' run.out
}

@test "nothing is lost or wrong while drivers are replaced" {
	truncate -s 64M file
	start bdus loop file
	start_checker
	for ((n = 1; n <= ${BDUS_RERUNS:-20}; n++)); do
		bdus rerun "$id" loop file >/dev/null
	done
	end_checker
	[[ $(attribute restarts) == "${BDUS_RERUNS:-20}" ]]
}

@test "nothing is lost or wrong while drivers are killed" {
	truncate -s 64M file
	start bdus loop --supervise file
	start_checker
	for ((n = 1; n <= ${BDUS_RECOVERIES:-20}; n++)); do
		wait_until 10 is_in_state live
		kill -9 "$(attribute pid)"
		wait_until 10 has_restarts "$n"
	done
	wait_until 10 is_in_state live
	(($(attribute attempts) > 0))
	end_checker
}

at_rest() { [[ $(tr -s ' ' <"/sys/block/bdus-$id/inflight") == ' 0 0' ]]; }

# In "good" 1 MiB after a run, by "log"; in "old" what it was half way.
make_good() {
	truncate -s 1M good
	start bdus loop good
	start_run --seed 1 --ops 20000 --data-only
	wait_until 20 has_written 2000
	kill -STOP "$checker"
	wait_until 5 at_rest
	cp good old
	kill -CONT "$checker"
	wait "$checker"
	bdus destroy "$dev"
	grep "^2048 sectors, 2048 written, 0 lost" run.out
}

# start_run OPTION...: blockcheck on $dev, by itself; $checker is its pid
start_run() {
	blockcheck run --log log "$@" "$dev" >run.out 2>&1 3>&- 4>&- &
	checker=$!
}

# damaged NAME: judges "file", which is to have damage of that name only
damaged() {
	checked 1 "$1" -- judge --log log file
	[[ $stderr == "blockcheck: file: sector "*": $1: "* ]]
	cp good file
}

@test "damage is seen as what it is" {
	make_good
	cp good file
	checked 0 -- judge --log log file
	dd if=/dev/zero of=file bs=512 seek=7 count=1 conv=notrunc status=none
	damaged lost
	dd if=good of=file bs=512 seek=7 count=1 conv=notrunc status=none
	damaged misplaced
	openssl rand 512 | dd of=file bs=512 seek=7 conv=notrunc status=none
	damaged foreign
	openssl rand 256 | dd of=file bs=256 seek=15 conv=notrunc status=none
	damaged torn
	cp old file
	damaged stale
}

@test "damage is seen through a device" {
	make_good
	cp old good
	start bdus loop good
	checked 1 stale -- judge --log log "$dev"
}

@test "a run on a device whose driver dies: errors, and a log to judge by" {
	truncate -s 16M file
	start bdus loop file
	start_run --seconds 60
	wait_until 20 has_written 1000
	kill -9 "$pid"
	status=0
	wait "$checker" || status=$?
	((status == 1))
	[[ $(tail -n 1 run.out) != *' 0 client errors'* ]]
	wait_until 5 is_gone "$dev"
	checked 0 -- judge --log log file
}

@test "a run that is killed leaves a log to judge by" {
	truncate -s 16M file
	start bdus loop file
	start_run --seconds 60
	wait_until 20 has_written 1000
	kill -9 "$checker"
	wait_until 5 has_ended "$checker"
	checked 0 -- judge --log log "$dev"
}

@test "errors of the driver are counted apart" {
	start_raw --error EIO --error-op flush
	checked 1 'client errors' -- run --log log --ops 2000 "$dev"
	[[ $stderr == *"blockcheck: $dev: flush: I/O error"* ]]
	bdus destroy --no-flush "$dev"
}
