#!/usr/bin/env bats
# zero: reads zeroes and forgets what is written.

load lib

@test "reads as zeroes, and keeps nothing of what is written" {
	start bdus zero --size 16M
	dd if=/dev/urandom of="$dev" bs=1M count=8 oflag=direct status=none
	[[ $(attribute write_bytes) == $((8 << 20)) ]]
	cmp -n $((16 << 20)) "$dev" /dev/zero
	[[ $(wc -c <"$dev") == $((16 << 20)) ]]
}

@test "1T is usable up to the last block" {
	start bdus zero --size 1T
	[[ $(blockdev --getsize64 "$dev") == $((1 << 40)) ]]
	last=$(((1 << 40) / 512 - 1))
	dd if=/dev/urandom of="$dev" seek="$last" count=1 oflag=direct \
		status=none
	dd if="$dev" of=block skip="$last" count=1 iflag=direct status=none
	cmp block <(head -c 512 /dev/zero)
	run ! dd if=/dev/zero of="$dev" seek=$((last + 1)) count=1 oflag=direct
	[[ $output == *'No space left'* ]]
}

@test "so is the largest disk that there can be" {
	blocks=$(((1 << 51) - 1))
	start bdus zero --size $((blocks * 4096)) --block-size 4096
	[[ $(blockdev --getsize64 "$dev") == $((blocks * 4096)) ]]
	dd if="$dev" of=block bs=4096 skip=$((blocks - 1)) count=1 \
		iflag=direct status=none
	cmp block <(head -c 4096 /dev/zero)
}

@test "--read-only refuses whatever would write" {
	start bdus zero --size 1M --read-only
	cmp -n 1048576 "$dev" /dev/zero
	run ! dd if=/dev/zero of="$dev" bs=4k count=1 oflag=direct
	run ! blkdiscard "$dev"
	run ! blkdiscard --zeroout "$dev"
	[[ $(attribute write_requests) == 0 ]]
	[[ $(attribute discard_requests) == 0 ]]
	[[ $(attribute write_zeroes_requests) == 0 ]]
}

@test "takes discard, write zeroes, FUA writes and flushes" {
	start bdus zero --size 64M
	blkdiscard "$dev"
	[[ $(attribute discard_bytes) == $((64 << 20)) ]]
	blkdiscard --zeroout "$dev"
	[[ $(attribute write_zeroes_bytes) == $((64 << 20)) ]]
	dd if=/dev/urandom of="$dev" bs=4k count=3 oflag=direct,dsync \
		status=none
	[[ $(attribute fua_write_bytes) == 12288 ]]
	before=$(attribute flush_requests)
	bdus flush "$dev"
	(($(attribute flush_requests) > before))
}

@test "secure erase is not offered: nothing is there to be erased" {
	start bdus zero --size 1M
	run ! blkdiscard --secure "$dev"
	[[ $(attribute secure_erase_requests) == 0 ]]
}

@test "a size that is no multiple of the block size: 2, and no device" {
	run -2 bdus zero --size 1000
	[[ $output == *'1000 bytes, is not a multiple of the block size, 512'* ]]
	run -2 bdus zero --size 1536 --block-size 1024
	no_device
}
