#!/usr/bin/env bats
# ram: a disk held in memory. Here is also the main job: file systems.

load lib

MiB=1048576

# Bytes of anonymous memory that the driver has; status would be out by some
# pages a thread before Linux 6.2.
resident() { awk '/^Anonymous:/ { print $2 * 1024 }' "/proc/$pid/smaps_rollup"; }
available() { awk '/^MemAvailable:/ { print $2 * 1024 }' /proc/meminfo; }

# keeps_files TYPE SIZE CHECK...: a tree survives unmount and mount
keeps_files() {
	start bdus ram --size "$2"
	"mkfs.$1" -q "$dev"
	mount -t "$1" "$dev" /mnt
	fill_pattern large $((24 * MiB))
	cp -r large /usr/include/asm-generic /usr/include/rdma /mnt/
	sync -f /mnt
	umount /mnt
	mount -t "$1" "$dev" /mnt
	cmp large /mnt/large
	diff -r /usr/include/asm-generic /mnt/asm-generic
	diff -r /usr/include/rdma /mnt/rdma
	umount /mnt
	"${@:3}" "$dev"
	bdus destroy "$id"
}

@test "ext4: mkfs, mount, copy, unmount, mount, compare, fsck" {
	keeps_files ext4 256M e2fsck -fn
}

@test "xfs: mkfs, mount, copy, unmount, mount, compare, fsck" {
	keeps_files xfs 300M xfs_repair -n
}

@test "btrfs: mkfs, mount, copy, unmount, mount, compare, fsck" {
	keeps_files btrfs 256M btrfs check --readonly
}

@test "random writes under load read back as written" {
	size=${BDUS_VERIFY_SIZE:-256M}
	start bdus ram --size "$size"
	verify "$dev" "$size"
	(($(attribute write_bytes) > 0 && $(attribute read_bytes) > 0))
}

@test "its memory is taken at the start, and free again at the end" {
	before=$(available)
	start bdus ram --size 256M
	(($(resident) >= 256 * MiB))
	(($(available) < before - 200 * MiB))
	bdus destroy "$dev"
	is_free_again() { (($(available) > before - 32 * MiB)); }
	wait_until 5 is_free_again
}

@test "--no-mlock: the memory is taken all the same" {
	start bdus ram --size 64M --no-mlock
	(($(resident) >= 64 * MiB))
}

@test "--lazy takes memory when written to, and gives it back" {
	start bdus ram --size 1T --lazy
	base=$(resident)
	((base < 16 * MiB))
	dd if="$dev" of=/dev/null bs=1M count=64 iflag=direct status=none
	(($(resident) < base + MiB)) # reading takes none
	fill() {
		dd if=/dev/urandom of="$dev" bs=1M count=64 oflag=direct \
			status=none
		(($(resident) >= base + 64 * MiB))
	}
	fill
	blkdiscard --length 64M "$dev"
	(($(resident) < base + MiB))
	fill
	fallocate --punch-hole --length 64M "$dev" # write zeroes, may unmap
	(($(resident) < base + MiB))
	fill
	blkdiscard --zeroout --length 64M "$dev" # which may not
	(($(resident) >= base + 64 * MiB))
	cmp -n $((64 * MiB)) "$dev" /dev/zero
}

@test "without --lazy discard and write zeroes keep the memory" {
	start bdus ram --size 64M
	blkdiscard "$dev"
	blkdiscard --zeroout "$dev"
	fallocate --punch-hole --length 64M "$dev"
	(($(resident) >= 64 * MiB))
}

# Ranges in sectors: within a page, over pages, up to the end.
zeroed_ranges='1:1 7:2 63:18 2047:4097 8191:1'

zeroed_ranges_read_as_zeroes() { # [OPTION]
	local range command
	start bdus ram --size 4M "$@"
	for command in 'blkdiscard' 'blkdiscard --zeroout'; do
		fill_pattern expected $((4 * MiB))
		dd if=expected of="$dev" bs=1M oflag=direct status=none
		for range in $zeroed_ranges; do
			$command --offset $((${range%:*} * 512)) \
				--length $((${range#*:} * 512)) "$dev"
			dd if=/dev/zero of=expected seek="${range%:*}" \
				count="${range#*:}" conv=notrunc status=none
		done
		cmp expected "$dev"
	done
}

@test "discarded and zeroed ranges read as zeroes, and nothing beside them" {
	zeroed_ranges_read_as_zeroes
}

@test "so they do with --lazy" {
	zeroed_ranges_read_as_zeroes --lazy
}

@test "writes beside ranges that are given back meanwhile are not lost" {
	start bdus ram --size 64M --lazy
	give_back() {
		# sharing pages with the ranges that are written to
		while blkdiscard --force --offset $((16 * MiB + 512)) \
			--length $((16 * MiB - 1024)) "$dev"; do
			:
		done 2>discard.err
	}
	give_back 3>&- 4>&- &
	giving=$!
	verify "$dev" 16M --offset=0 --bsrange=512-64k
	verify "$dev" 16M --offset=32M --bsrange=512-64k
	kill "$giving"
	wait "$giving" || true
	(($(attribute discard_requests) > 10))
}

@test "any number of sectors is readable and writable to the last" {
	for size in 1s '7s --lazy' 9s '2049s --lazy' 32767s; do
		# shellcheck disable=SC2086 # two words
		start bdus ram --size $size
		sectors=${size%%s*}
		fill_pattern data $((sectors * 512))
		dd if=data of="$dev" bs=64k oflag=direct status=none
		cmp data "$dev"
		run ! dd if=data of="$dev" seek="$sectors" count=1 oflag=direct
		bdus destroy "$id"
	done
}

@test "more than the memory available: 1, both figures, and no device" {
	wanted=$(($(available) + 4096))
	run -1 bdus ram --size "$((wanted / 4096 * 4096))"
	[[ $output =~ "cannot reserve $((wanted / 4096 * 4096)) bytes of memory: "([0-9]+)" bytes are available" ]]
	told=${BASH_REMATCH[1]}
	((told > wanted / 2 && told < wanted * 2))
	[[ $output == *'hint: choose a smaller --size, or --lazy'* ]]
	run -1 bdus ram --size 7E
	[[ $output == *'cannot reserve 8070450532247928832 bytes of memory'* ]]
	no_device
	no_driver
}

@test "--size is missing, or no multiple of the block size: 2" {
	run -2 bdus ram
	[[ $output == *'--size: is required'* ]]
	run -2 bdus ram --size 7s --block-size 4096
	[[ $output == *'3584 bytes, is not a multiple of the block size, 4096'* ]]
	no_device
}

@test "--read-only: zeroes that stay" {
	start bdus ram --size 1M --read-only
	run ! dd if=/dev/urandom of="$dev" bs=4k count=1 oflag=direct
	run ! blkdiscard "$dev"
	cmp -n $MiB "$dev" /dev/zero
}
