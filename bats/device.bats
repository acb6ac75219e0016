#!/usr/bin/env bats
# What every device does, whatever its driver: limits, order of flushes,
# partitions, read-only, accounting, depth.

load lib

queue_file() { cat "/sys/block/${dev#/dev/}/queue/$1"; }

@test "block sizes and limits are what was asked for" {
	start bdus ram --size 64M --block-size 4096
	[[ $(blockdev --getss "$dev") == 4096 ]]
	[[ $(blockdev --getsize64 "$dev") == $((64 << 20)) ]]
	(($(queue_file max_sectors_kb) >= 512))
	[[ $(queue_file rotational) == 0 ]]
	# bio-based: there is nothing to schedule
	[[ ! -e /sys/block/${dev#/dev/}/mq ]]
}

@test "requests larger than the limit are split" {
	start bdus ram --size 64M
	fill_pattern data $((32 << 20))
	dd if=data of="$dev" bs=32M oflag=direct status=none
	dd if="$dev" of=back bs=32M count=1 iflag=direct status=none
	cmp data back
	(($(attribute write_requests) >= 32))
	[[ $(attribute write_bytes) == $((32 << 20)) ]]
}

@test "adjacent writes are merged when they are fetched" {
	truncate -s 64M file
	start bdus loop file
	fio --name=a --filename="$dev" --rw=write --bs=4k --direct=1 \
		--ioengine=io_uring --iodepth=32 --iodepth_batch_submit=32 \
		--iodepth_batch_complete_min=32 --size=16M --minimal >fio.out
	[[ $(attribute write_bytes) == $((16 << 20)) ]]
	[[ $(attribute write_requests) == 4096 ]]
	strace -f -e trace=pwrite64,pwritev,pwritev2 -c -o trace -p "$pid" 3>&- &
	tracer=$!
	wait_until 5 is_traced "$pid"
	fio --name=a --filename="$dev" --rw=write --bs=4k --direct=1 \
		--ioengine=io_uring --iodepth=32 --iodepth_batch_submit=32 \
		--iodepth_batch_complete_min=32 --size=16M --minimal >fio.out
	kill "$tracer"
	wait "$tracer" || true
	calls=$(awk '/pwrite/ { n += $4 } END { print n + 0 }' trace)
	echo "$calls system calls for 4096 writes"
	((calls > 0 && calls < 2048))
}

is_traced() { ! grep -q '^TracerPid:.0$' "/proc/$1/status"; }

@test "fsync of a client reaches the driver as a flush" {
	truncate -s 64M file
	start bdus loop file
	before=$(attribute flush_requests)
	dd if=/dev/urandom of="$dev" bs=4k count=1 conv=fsync status=none
	(($(attribute flush_requests) > before))
}

@test "O_DSYNC writes are FUA writes where the driver knows them" {
	truncate -s 64M file
	start bdus loop file
	dd if=/dev/urandom of="$dev" bs=4k count=10 oflag=direct,dsync \
		status=none
	(($(attribute fua_write_requests) + $(attribute flush_requests) >= 10))
}

@test "O_DSYNC writes are written, then flushed, where it does not" {
	start_raw
	before=$(attribute flush_requests)
	dd if=/dev/urandom of="$dev" bs=4k count=10 oflag=direct,dsync \
		status=none
	(($(attribute flush_requests) >= before + 10))
	[[ $(attribute fua_write_requests) == 0 ]]
}

@test "a partition table is read at the start, and partitions work" {
	truncate -s 64M file
	printf 'label: gpt\nsize=16M\nsize=16M\n' | sfdisk -q file
	start bdus loop file
	wait_until 5 test -b "${dev}p2"
	verify "${dev}p2" 16M
	bdus destroy "$id"
	[[ ! -e ${dev}p1 ]]
}

@test "no partitions with --no-partscan" {
	truncate -s 64M file
	printf 'label: gpt\nsize=16M\n' | sfdisk -q file
	start bdus loop --no-partscan file
	[[ ! -e ${dev}p1 ]]
}

@test "a read-only device refuses writes, also after blockdev --setrw" {
	start bdus ram --size 8M --read-only
	[[ $(blockdev --getro "$dev") == 1 ]]
	run ! dd if=/dev/zero of="$dev" bs=4k count=1 oflag=direct
	run ! blockdev --setrw "$dev"
	[[ $(blockdev --getro "$dev") == 1 ]]
	[[ $(attribute write_requests) == 0 ]]
}

@test "I/O is accounted for, as iostat shows it" {
	start bdus ram --size 64M
	fio --name=a --filename="$dev" --rw=write --bs=64k --direct=1 \
		--size=16M --minimal >fio.out
	read -r _ _ _ _ writes _ sectors _ <"/sys/block/${dev#/dev/}/stat"
	((writes == 256 && sectors == 32768))
	read -r _ _ _ _ _ _ _ _ in_flight _ <"/sys/block/${dev#/dev/}/stat"
	((in_flight == 0))
}

# niceness of each thread of the driver, the lowest first
niceness() {
	local status
	for status in "/proc/$pid/task"/*/stat; do
		cut -d ' ' -f 19 "$status"
	done | sort -n | xargs
}

@test "workers go before clients, and nothing else of the driver does" {
	start nice -n 10 bdus ram --size 16M --queues 2
	[[ $(niceness) == '5 5 10'* ]]
}

@test "more clients than the queue is deep wait, and all are served" {
	start bdus ram --size 64M
	fio --name=a --filename="$dev" --rw=randwrite --bs=4k --direct=1 \
		--ioengine=libaio --iodepth=128 --numjobs=4 --thread \
		--group_reporting --size=4M --offset_increment=8M \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 \
		--minimal >fio.out
	[[ $(attribute in_flight) == 0 && $(attribute waiting) == 0 ]]
}

@test "NOWAIT requests get EAGAIN instead of waiting for depth" {
	start_raw --at ignore --timeout 10000
	# the driver keeps 64 requests and never answers: the 65th must not wait
	nowait "$dev" 65 >nowait.out 3>&- 4>&- &
	client=$!
	wait_until 5 grep -qx again nowait.out
	kill -9 "$pid"
	wait_until 5 has_ended "$client"
}

@test "a driver cannot open its own device" {
	# rawdrv fails unless its own open() ends with EDEADLK
	run -137 rawdrv --at self
}

@test "the errno of the driver reaches the client" {
	for name in ENOSPC EIO ETIMEDOUT ENOLINK; do
		start_raw --error "$name"
		run ! dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct
		case $name in
		ENOSPC) [[ $output == *'No space left'* ]] ;;
		EIO) [[ $output == *'Input/output error'* ]] ;;
		ETIMEDOUT) [[ $output == *'timed out'* ]] ;;
		ENOLINK) [[ $output == *'Link has been severed'* ]] ;;
		esac
		bdus destroy "$id"
	done
}

@test "an errno that means nothing to a client becomes EIO" {
	start_raw --error EPERM
	run ! dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct
	[[ $output == *'Input/output error'* ]]
}

@test "a failed flush is reported by fsync and by destroy, which then stops" {
	start_raw --error EIO --error-op flush
	run ! dd if=/dev/zero of="$dev" bs=4k count=1 conv=fsync
	[[ $output == *'Input/output error'* ]]
	run ! bdus destroy "$id"
	[[ -b $dev ]]
	bdus destroy --no-flush "$id"
}

@test "ioctls of clients reach the driver" {
	start_raw
	run -0 rawdrv --ioctl "$dev"
}
