#!/usr/bin/env bats
# compress: what is beside requests, on a device: no space, a check before it
# opens, packing anew while it is in use.

load lib
load compress

# overcommitted OPTION...: a disk of 1 GiB on 64 MiB
overcommitted() {
	truncate -s 64M volume
	bdus compress format --size 1G --overcommit volume
	start bdus compress --log log "$@" volume
	fill_pattern pattern 1048576
}

# fill_up: until a write fails; $n is how many MiB there are
fill_up() {
	for ((n = 0; n < 100; n++)); do
		dd if=pattern of="$dev" bs=1M seek="$n" oflag=direct \
			status=none 2>dd.out || return 0
	done
	return 1
}

@test "--on-full=error: a write fails with ENOSPC, the rest goes on" {
	overcommitted
	fill_up
	grep -q 'No space left' dd.out
	[[ $(json '[.full, .overcommitted] | tojson') == '[true,true]' ]]
	grep -q '80% of the space is in use; when it is full, writes fail' log
	[[ $(grep -c '95%' log) == 1 ]]
	timeout 20 bdus flush "$dev"
	cmp -n 1048576 pattern "$dev"
	timeout 20 blkdiscard -l 10M "$dev"
	dd if=pattern of="$dev" bs=1M seek=200 oflag=direct status=none
	cmp -n 1048576 <(dd if="$dev" bs=1M skip=200 count=1 iflag=direct \
		status=none) pattern
	bdus destroy "$dev"
	bdus compress check --verify-data volume
}

@test "--on-full=queue: a write waits for a discard; flushes do not wait" {
	overcommitted --on-full queue=300s
	(($(attribute timeout_ms) == 330000))
	dd if=pattern of="$dev" bs=1M count=1 oflag=direct status=none
	# one after the other, until one waits
	(for ((i = 0; i < 100; i++)); do
		dd if=pattern of="$dev" bs=1M seek="$i" oflag=direct \
			status=none || exit
		echo "$i" >written
	done) 3>&- 4>&- &
	writer=$!
	waits() { [[ $(json '.waiting > 0') == true ]]; }
	wait_until 60 waits
	timeout 20 bdus flush "$dev"
	timeout 20 dd if="$dev" of=/dev/null bs=1M count=1 iflag=direct status=none
	n=$(cat written)
	kill -0 "$writer"
	timeout 20 blkdiscard -l 20M "$dev"
	is_further() { (($(cat written) > n + 5)); }
	wait_until 60 is_further
	wait_until 60 waits
	timeout 20 blkdiscard -l 1G "$dev"
	wait "$writer"
	grep -q 'writes wait, then fail' log
	bdus destroy "$dev"
	bdus compress check --verify-data volume
}

@test "--on-full=queue: then it fails, in time" {
	overcommitted --on-full queue=2s
	SECONDS=0
	fill_up
	grep -q 'No space left' dd.out
	((SECONDS >= 2))
	timeout 20 blkdiscard -l 1G "$dev"
	bdus destroy "$dev"
}

@test "--check-on-open: serves what is whole, refuses the rest untouched" {
	truncate -s 64M volume
	bdus compress format volume
	start bdus compress volume
	fill_pattern pattern 1048576
	dd if=pattern of="$dev" bs=1M seek=3 oflag=direct status=none
	bdus destroy "$dev"
	start bdus compress --check-on-open volume
	cmp -n 1048576 <(dd if="$dev" bs=1M skip=3 count=1 status=none) pattern
	bdus destroy "$dev"
	# one page of the map, of both slots
	for slot in 0 1; do
		off=$(bdus compress dump --json volume | jq -r \
			"select(.slot == \"A\") | .map_off_$slot + 4096 * 2")
		dd if=/dev/urandom of=volume bs=4096 count=1 conv=notrunc \
			seek=$((off / 4096)) status=none
	done
	sha256sum volume >sum
	run -1 bdus compress --check-on-open volume
	[[ $output == *"its map is damaged"*"bdus compress check"* ]]
	sha256sum --quiet -c sum
}

@test "recompress: by the driver, beside a client" {
	truncate -s 256M volume
	bdus compress format --level 1 volume
	start bdus compress volume
	seq 1 6000000 | head -c 8388608 >text
	dd if=text of="$dev" bs=1M oflag=direct status=none
	stored=$(json .stored)
	start_verify --offset=64M
	run -0 --separate-stderr bdus compress recompress --level 12 --json "$dev"
	end_verify
	[[ $(jq -r '[.level, .done, .saved > 0] | tojson' <<<"$output") == \
		'[12,true,true]' ]]
	cmp -n 8388608 text "$dev"
	run -5 bash -c "bdus compress recompress --level 22 --background $id &&
		bdus compress recompress --level 3 $id"
	# shellcheck disable=SC2154
	[[ $output == *"--stop ends it"* ]]
	bdus compress recompress --stop "$id"
	is_over() { [[ $(json .recompressing) == false ]]; }
	wait_until 60 is_over
	blkdiscard -o 64M -l 64M "$dev"
	(($(json .stored) < stored))
	cmp -n 8388608 text "$dev"
	start bdus ram --size 1M
	run -1 bdus compress recompress "$dev"
	[[ $output == *"is no compressed volume"* ]]
	bdus destroy --all
	bdus compress check --verify-data volume
}
