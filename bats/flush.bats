#!/usr/bin/env bats
# flush: what was written is durable when it returns 0.

load lib

# A flush that fails keeps a device from being destroyed in the usual way.
teardown() {
	bdus destroy --all --no-flush || true
	[[ ! -d /sys/module/dm_mod ]] || dmsetup remove_all
	bdus destroy --all --no-flush || true
	common_teardown
}

@test "what was written before is in the backing, in any form of the name" {
	truncate -s 16M file
	start bdus loop file
	ln -s "$dev" link
	for name in "$dev" "$id" "bdus-$id" link; do
		exec {fd}<>"$dev" # so that its last close does not write back
		openssl rand -out data 1048576
		dd if=data of="$dev" bs=64k conv=notrunc status=none
		run -0 --separate-stderr bdus flush "$name"
		exec {fd}<&-
		# shellcheck disable=SC2154 # bats sets it
		[[ -z $output && -z $stderr ]]
		cmp -n 1048576 data file
	done
}

@test "a flush goes through all devices of a stack" {
	start bdus ram --size 64M
	lowest=$dev
	start bdus loop "$lowest"
	lower=$id
	start bdus loop "$dev"
	dd if=/dev/urandom of="$dev" bs=64k count=16 oflag=direct status=none
	before=$(cat "/sys/block/bdus-$lower/bdus/flush_requests")
	bdus flush "$id"
	(($(cat "/sys/block/bdus-$lower/bdus/flush_requests") > before))
	dd if="$dev" of=above bs=64k count=16 iflag=direct status=none
	dd if="$lowest" of=below bs=64k count=16 iflag=direct status=none
	cmp above below
}

@test "an error of the driver is reported: 1" {
	start_raw --error EIO --error-op flush
	run -1 --separate-stderr bdus flush "$dev"
	[[ $stderr == "bdus flush: $dev: cannot flush: I/O error" ]]
}

@test "an error of the backing is reported: 1" {
	start bdus ram --size 16M
	printf '%s\n' "0 16384 linear $dev 0" '16384 16384 error' |
		dmsetup create bad
	start bdus loop /dev/mapper/bad
	dd if=/dev/urandom of="$dev" bs=4k count=1 seek=2048 oflag=direct \
		status=none
	run -1 bdus flush "$id"
	[[ $output == *': cannot flush: I/O error' ]]
}

@test "of several, one that fails does not keep the others from it" {
	start bdus loop --create --size 1M a
	first=$id
	start bdus loop --create --size 1M b
	before=$(attribute flush_requests)
	run -4 bdus flush 4711 "$first" "$id"
	[[ $output == *'4711: no such device'* ]]
	(($(cat "/sys/block/bdus-$first/bdus/flush_requests") > 0))
	(($(attribute flush_requests) > before))
}

@test "what is no disk of bdus: 4" {
	for name in /dev/null /dev/loop-control "$dir" /dev/bdus-4711 /nowhere; do
		run -4 bdus flush "$name"
		[[ $output == "bdus flush: $name: "* ]]
	done
	truncate -s 64M file
	printf 'label: gpt\nsize=16M\n' | sfdisk -q file
	start bdus loop file
	run -4 bdus flush "${dev}p1"
	[[ $output == *"a partition; the disk is $dev" ]]
}

@test "no privilege: 7" {
	start bdus zero --size 1M
	run -7 setpriv --reuid=65534 --clear-groups bdus flush "$dev"
	[[ $output == *'run this as root'* ]]
}
