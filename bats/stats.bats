#!/usr/bin/env bats
# stats: what the driver of a device tells of itself.

load lib

# json FILTER: of what stats prints
json() { bdus stats --json "$dev" | jq -r "$1"; }

# volume [OPTION...]: a volume of 64 MiB, and a device of it
volume() {
	truncate -s 64M volume
	bdus compress format "$@" volume
	start bdus compress volume
}

# put MIB FILE|-: 1 MiB of it at that place, or of what cannot be packed
put() {
	if [[ $2 == - ]]; then
		fill_pattern pattern 1048576
		dd if=pattern of="$dev" bs=1M seek="$1" oflag=direct status=none
	else
		dd if="$2" of="$dev" bs=1M count=1 seek="$1" oflag=direct \
			status=none
	fi
}

@test "space: data, zeroes, what is packed and what is not" {
	volume
	yes 'a line' | head -c 1048576 >text
	put 0 text
	put 1 -
	put 2 /dev/zero
	put 3 text
	blkdiscard -o 3M -l 1M "$dev"
	[[ $(json '[.schema, .device, .driver, .backing] | tojson') == \
		"[1,\"$dev\",\"compress\",\"$dir/volume\"]" ]]
	[[ $(json '[.data, .raw, .compressed, .zero, .written, .discarded,
		.overcommitted, .full, .recoveries] | tojson') == \
		"[2097152,1048576,1048576,1048576,4194304,1048576,false,false,0]" ]]
	[[ $(json .size) == "$(blockdev --getsize64 "$dev")" ]]
	[[ $(json '.stored > 1048576 and .stored < 1200000') == true ]]
	[[ $(json '.ratio > 1.7 and .ratio < 2') == true ]]
	[[ $(json '.log > 1048576 and .amplification < 0.7') == true ]]
	[[ $(json '.physical + .free < 67108864') == true ]]
	[[ $(json '.free + .physical + .map') == 67108864 ]]
}

@test "for people: a figure a line; --bytes" {
	volume --label x
	put 0 -
	run -0 --separate-stderr bdus stats "$id"
	# shellcheck disable=SC2154 # bats sets it
	[[ -z $stderr ]]
	[[ $output == *$'\ndata              1M\n'* ]]
	[[ $output == *$'\novercommitted     no\n'* ]]
	run -0 bdus stats -b "bdus-$id"
	[[ $output == *$'\ndata              1048576\n'* ]]
	# every figure has its place in the page
	for name in $(json 'keys_unsorted | .[4:][]'); do
		grep -qE "^\.It Cm (.* , )*$name( |\$)" \
			"$BATS_TEST_DIRNAME/../man/bdus-stats.8"
	done
}

@test "--watch in a pipe: a line for each interval, the device is not held" {
	volume
	bdus stats --watch --interval 1 "$dev" >watch 3>&- 4>&- &
	watcher=$!
	wait_until 10 grep -q DATA watch
	put 0 -
	wait_until 10 grep -q '^ *1M ' watch
	bdus stats --watch --json --count 2 --interval 1 "$dev" >both
	[[ $(jq -s 'map(.data) | tojson' both) == '"[1048576,1048576]"' ]]
	run -0 bdus stats --watch --count 1 --interval 1 "$dev"
	[[ ${#lines[@]} == 2 && ${lines[0]} == *"RATIO"* ]]
	bdus destroy "$dev"
	# its device is gone: it says so and ends
	status=0
	wait "$watcher" || status=$?
	[[ $status == 4 ]]
}

@test "a driver without statistics, a device without a driver" {
	start bdus ram --size 1M
	run -1 --separate-stderr bdus stats "$dev"
	[[ -z $output && $stderr == *"its driver, ram, has no statistics"* ]]
	bdus destroy "$dev"
	truncate -s 64M volume
	bdus compress format volume
	start bdus compress --recoverable volume
	kill -9 "$pid"
	wait_until 5 is_in_state waiting
	run -1 bdus stats "$dev"
	[[ $output == *"has no driver at the moment"* ]]
}

@test "what a driver finds after a kill is told by the next" {
	truncate -s 64M volume
	bdus compress format volume
	start bdus compress --supervise volume
	put 0 -
	kill -9 "$pid"
	wait_until 10 is_in_state live
	wait_until 10 has_restarts 1
	[[ $(json '[.recoveries, .replayed > 0, .data, .written] | tojson') == \
		'[1,true,1048576,0]' ]]
}

@test "no privilege: 7" {
	volume
	run -7 setpriv --reuid=65534 --clear-groups bdus stats "$dev"
	[[ $output == *"run this as root"* ]]
}
