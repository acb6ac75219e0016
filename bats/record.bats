#!/usr/bin/env bats
# record: a file or block device as a disk, with a log of all that is written.

load lib

MiB=1048576

teardown() {
	bdus destroy --all --timeout 10 || true
	umount -q /mnt || true
	[[ ! -d /sys/module/brd ]] || wait_until 5 rmmod brd
	common_teardown
}

# refused STATUS TEXT ARG...: bdus record ARG... ends with STATUS, says TEXT
refused() {
	run -"$1" --separate-stderr timeout 10 bdus record "${@:3}"
	# shellcheck disable=SC2154 # bats sets it
	[[ -z $output && $stderr == "bdus record: "*"$2"* ]] || {
		echo "$stderr"
		return 1
	}
}

# count KIND LOG: how many operations of that kind
count() { bdus replay --list "$2" | grep -cE "^ *[0-9]+ +[0-9]+ +$1 "; }

@test "random writes under load read back as written, and are in the log" {
	truncate -s 16M disk
	start bdus record disk
	verify "$dev" 16M
	bdus destroy "$dev"
	# the last operation is the flush of destroy
	last=$(bdus replay --list disk.log | awk 'END { print $1 }')
	(($(count write disk.log) > 100))
	bdus replay --to "$last" -o image disk.log
	cmp disk image
}

@test "what is on the disk already is in the log; --no-base leaves it out" {
	fill_pattern disk $((2 * MiB))
	truncate -s 4M disk
	cp disk before
	start bdus record disk
	dd if=/dev/zero of="$dev" bs=64k count=1 oflag=direct status=none
	bdus destroy "$dev"
	bdus replay --to 0 -o image disk.log
	cmp before image
	bdus replay --to 1 -o image --force disk.log
	cmp disk image
	cp before disk
	start bdus record --no-base -w small disk
	dd if=/dev/zero of="$dev" bs=64k count=1 oflag=direct status=none
	bdus destroy "$dev"
	(($(stat -c %s small) < MiB))
	run -2 bdus replay --to 1 -o other small
	[[ $output == *'--base IMAGE'* ]]
	run -1 bdus replay --to 1 -o other --base disk small
	[[ $output == *'is not what was on the disk'* ]]
	bdus replay --to 1 -o other --base before small
	cmp image other
}

@test "each operation is there as what it is" {
	truncate -s 4M disk
	start bdus record disk
	dd if=/dev/urandom of="$dev" bs=4k count=1 oflag=direct status=none
	dd if=/dev/urandom of="$dev" bs=4k count=1 seek=1 status=none \
		oflag=direct,dsync
	blkdiscard --offset 1M --length 1M "$dev"
	blkdiscard --zeroout --offset 2M --length 1M "$dev"
	bdus flush "$dev"
	bdus destroy "$dev"
	bdus replay --list disk.log >list
	grep -E ' write +0 +4096 ' list
	grep -E ' FUA write +4096 +4096 ' list
	grep -E ' discard +1048576 +1048576 ' list
	grep -E ' write zeroes +2097152 +1048576 ' list
	grep -E ' flush ' list
}

@test "a block device: its log has to be named" {
	modprobe brd rd_nr=1 rd_size=4096
	refused 2 '/dev/ram0: is a device, which needs --record-log' /dev/ram0
	start bdus record -w log /dev/ram0
	dd if=/dev/urandom of="$dev" bs=1M oflag=direct status=none || true
	bdus destroy "$dev"
	bdus replay --to "$(bdus replay --list log | awk 'END { print $1 }')" \
		-o image log
	cmp image /dev/ram0
}

@test "a log is not written over, nor shared, nor another disk's" {
	truncate -s 1M disk other
	start bdus record disk
	refused 5 'disk.log: is in use: bdus (pid ' -w disk.log --force other
	bdus destroy "$dev"
	refused 5 'disk.log: cannot open: File exists' disk
	truncate -s 2M other
	refused 1 'disk.log: is the log of a disk of 1048576 bytes, not 2097152' \
		-w disk.log --append other
	refused 1 'is no log of bdus record' -w other --append disk
	refused 5 'disk: is in use' -w disk --force disk
	refused 2 '--read-only: there would be nothing to record' -r disk
	no_device
	start bdus record --append disk
	dd if=/dev/urandom of="$dev" bs=4k count=1 oflag=direct status=none
	bdus destroy "$dev"
	(($(count write disk.log) == 1))
	start bdus record --force disk
	bdus destroy "$dev"
	[[ $(bdus replay --to 0 -o image disk.log) == '' ]]
	cmp disk image
}

@test "a full log: ENOSPC, nothing is done that is not in it, and it is whole" {
	mount -t tmpfs -o size=2M none /mnt
	truncate -s 8M disk
	start bdus record -w /mnt/log disk
	run ! dd if=/dev/urandom of="$dev" bs=64k oflag=direct
	[[ $output == *'No space left on device'* ]]
	cp /mnt/log log
	bdus destroy --no-flush "$dev"
	last=$(bdus replay --list log | awk 'END { print $1 }')
	((last > 10))
	bdus replay --to "$last" -o image log
	cmp disk image
}

@test "kill -9 under load, supervised: one log, and it is the disk" {
	truncate -s 48M disk
	start bdus record --supervise disk
	start_verify
	for n in 1 2 3; do
		pid=$(attribute pid)
		kill -9 "$pid"
		wait_until 20 has_restarts $n
		is_live() { is_in_state live; }
		wait_until 20 is_live
		sleep 0.2
	done
	end_verify
	bdus destroy "$dev"
	last=$(bdus replay --list disk.log | awk 'END { print $1 }')
	bdus replay --to "$last" -o image disk.log
	cmp disk image
}

@test "rerun goes on with the log; none can begin under a disk in use" {
	truncate -s 48M disk
	start bdus record disk
	start_verify
	run -2 timeout 30 bdus rerun "$dev" record disk
	[[ $output == *'a log begins with its disk; this one is in use'* ]]
	bdus rerun "$dev" record --append disk
	end_verify
	bdus destroy "$dev"
	last=$(bdus replay --list disk.log | awk 'END { print $1 }')
	bdus replay --to "$last" -o image disk.log
	cmp disk image
}
