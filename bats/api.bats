#!/usr/bin/env bats
# libbdus: each callback, attribute and error, by drivers that were written from
# bdus.h alone (bats/api/). As api-musl.bats, the same with musl's library.

load api

### callbacks #################################################################

@test "initialize, on_device_available, terminate: once each, in this order" {
	serve apidrv trace=trace
	bdus destroy "$id"
	ends "$pid" 0
	[[ $(grep -v '^read' trace | xargs) == 'initialize anew available terminate' ]]
}

@test "initialize: when it fails, nothing else is called" {
	refused trace=trace "fail=initialize:$(errno EACCES)"
	[[ $output == "errno 13: "*initialize*'Permission denied' ]]
	[[ $(xargs <trace) == 'initialize anew' ]]
	no_device
}

@test "initialize: bdus_abort, and values that are no errno, are EIO" {
	refused fail=initialize:abort
	[[ $output == "errno 5: "*initialize* ]]
	refused fail=initialize:-7
	[[ $output == "errno 5: "*initialize* ]]
	no_device
}

@test "initialize: may drop privileges" {
	touch trace && chmod a+rwx . && chmod a+rw trace
	serve apidrv uid=65534 trace=trace
	[[ $(awk '/^Uid/ { print $3 }' "/proc/$pid/status") == 65534 ]]
	dd if=/dev/urandom of="$dev" bs=1M count=4 oflag=direct status=none
	bdus destroy "$id"
	ends "$pid" 0
	[[ $(calls terminate) == 1 ]]
}

@test "on_device_available: prints the path by default" {
	serve apidrv quiet=1
	[[ $(cat api.out) == "$dev" && -b $dev ]]
}

@test "on_device_available: sees id, path and number of the device" {
	serve apidrv
	[[ $dev == "/dev/bdus-$(shown id)" ]]
	[[ $(shown number) == "$(cat "/sys/block/bdus-$id/dev")" ]]
	[[ $(shown is_rerun) == 0 ]]
}

@test "on_device_available: when it fails, terminate is called" {
	refused trace=trace "fail=available:$(errno ENOSPC)"
	[[ $output == "errno 28: "*on_device_available*'No space left on device' ]]
	[[ $(grep -v '^read' trace | xargs) == 'initialize anew available terminate' ]]
	wait_until 5 no_device
}

@test "on_device_available: no other callback runs meanwhile" {
	# the driver looks for itself; see teardown
	launch apidrv max_concurrent_callbacks=4 sleep=available:1000 trace=trace
	wait_until 5 test -s api.out
	read -r dev <api.out
	id=${dev#/dev/bdus-}
	read_block status=none
	tail -n 1 trace | grep -q '^read'
}

@test "terminate: when it fails, bdus_run does" {
	serve apidrv trace=trace "fail=terminate:$(errno ENOSPC)"
	bdus destroy "$id"
	ends "$pid" 1
	grep -q '^errno 28: .*terminate.*No space left' api.err
}

@test "read, write: what was written is read, under random load" {
	serve apidrv max_concurrent_callbacks=4 ops=read,write,flush
	verify "$dev" 16M
}

@test "read: without it, reads fail" {
	serve apidrv ops=write trace=trace
	run ! read_block
	write_block oflag=direct
	[[ $(calls write) == 1 ]]
}

@test "no writing callback: the device is read-only" {
	for ops in read read,flush read,write_same read,ioctl; do
		serve apidrv ops=$ops
		[[ $(blockdev --getro "$dev") == 1 ]]
		run ! write_block oflag=direct
		bdus destroy "$id"
	done
	serve apidrv ops=read,discard
	[[ $(blockdev --getro "$dev") == 0 ]]
	run ! write_block oflag=direct
}

@test "no callback at all: a device on which everything fails" {
	serve apidrv ops=
	run ! read_block
	run ! write_block oflag=direct
}

@test "write_same: accepted, and never called" {
	serve apidrv ops=read,write,write_same max_write_same_size=4096 \
		trace=trace
	blkdiscard -z "$dev"
	[[ $(calls write_same) == 0 ]]
}

@test "write_zeros: called, and told whether it may unmap" {
	serve apidrv ops=read,write,write_zeros trace=trace
	blkdiscard -z -l 1M "$dev"
	grep -q '^write_zeros 0 1048576' trace
	[[ $(grep may_unmap trace | sort -u) == 'may_unmap 0' ]]
	: >trace
	fallocate -p -o 1M -l 1M "$dev"
	[[ $(grep may_unmap trace | sort -u) == 'may_unmap 1' ]]
	[[ $(calls write) == 0 || $(calls 'write ') == 0 ]]
}

@test "write_zeros: without it, zeroes arrive as writes" {
	serve apidrv trace=trace
	dd if=/dev/urandom of="$dev" bs=1M count=2 oflag=direct status=none
	: >trace
	blkdiscard -z -l 1M "$dev"
	(($(calls 'write ') > 0))
	cmp -n 1048576 "$dev" /dev/zero
}

@test "fua_write: O_DSYNC writes come as such" {
	serve apidrv ops=read,write,fua_write,flush trace=trace
	dd if=/dev/urandom of="$dev" bs=4k count=5 oflag=direct,dsync \
		status=none
	(($(calls fua_write) == 5))
	[[ $(calls 'write ') == 0 ]]
}

@test "fua_write: without it, a write and a flush" {
	serve apidrv ops=read,write,flush trace=trace
	dd if=/dev/urandom of="$dev" bs=4k count=5 oflag=direct,dsync \
		status=none
	(($(calls 'write ') == 5 && $(calls flush) >= 5))
}

@test "fua_write: needs flush" {
	refused ops=read,write,fua_write
	[[ $output == 'errno 22: '*flush* ]]
	no_device
}

@test "flush: fsync is one" {
	serve apidrv ops=read,write,flush trace=trace
	[[ $(queue_file write_cache) == 'write back' ]]
	write_block conv=fsync
	(($(calls flush) > 0))
}

@test "flush: without it, there is no volatile cache" {
	serve apidrv
	[[ $(queue_file write_cache) == 'write through' ]]
	write_block conv=fsync
}

@test "discard: blkdiscard is one" {
	serve apidrv ops=read,write,discard trace=trace
	blkdiscard -o 1M -l 2M "$dev"
	grep -q '^discard 1048576 2097152' trace
}

@test "discard, secure_erase: without them, not supported" {
	serve apidrv
	run ! blkdiscard "$dev"
	[[ $output == *'not supported'* ]]
	run ! blkdiscard -s "$dev"
}

@test "secure_erase: blkdiscard -s is one" {
	serve apidrv ops=read,write,secure_erase trace=trace
	blkdiscard -s -o 1M -l 2M "$dev"
	grep -q '^secure_erase 1048576' trace
}

@test "ioctl: commands of all four kinds, there and back" {
	serve apidrv ops=read,write,ioctl trace=trace
	apiclient ioctl "$dev"
	# those that were not built with the macros did not get there
	[[ $(calls ioctl) == 7 ]]
}

@test "ioctl: without it, ENOTTY" {
	serve apidrv
	apiclient refused "$dev" "$(errno ENOTTY)"
}

@test "ioctl: an errno reaches the client as it is" {
	for error in 1 5 11 28 75 125; do
		serve apidrv ops=read,write,ioctl fail=ioctl:$error
		apiclient refused "$dev" $error
		bdus destroy "$id"
	done
}

@test "ioctl: what is no errno becomes EIO" {
	for error in -25 512 4096; do
		serve apidrv ops=read,write,ioctl fail=ioctl:$error
		apiclient refused "$dev" "$(errno EIO)"
		bdus destroy "$id"
	done
}

@test "ioctl: without an fd for writing, EPERM" {
	serve apidrv ops=read,write,ioctl
	apiclient readonly "$dev" "$(errno EPERM)"
}

@test "ioctl: on a read-only device" {
	serve apidrv ops=read,ioctl trace=trace
	run -1 apiclient readonly "$dev" 0
	bdus destroy "$id"
	serve apidrv ops=read,ioctl max_read_write_size=4096 trace=trace
	[[ $(blockdev --getro "$dev") == 1 ]]
}

@test "ioctl: refused on partitions" {
	truncate -s 16M file
	printf 'label: gpt\nsize=4M\n' | sfdisk -q file
	serve apidrv ops=read,write,ioctl file=file
	wait_until 5 test -b "${dev}p1"
	apiclient refused "${dev}p1" "$(errno ENOTTY)"
	apiclient ioctl "$dev"
}

### errors ####################################################################

@test "ENOLINK, ENOSPC, ETIMEDOUT reach the client, others become EIO" {
	local -A texts=([ENOLINK]='Link has been severed'
		[ENOSPC]='No space left on device'
		[ETIMEDOUT]='Connection timed out' [EIO]='Input/output error'
		[EACCES]='Input/output error' [EINVAL]='Input/output error')
	for name in "${!texts[@]}"; do
		serve apidrv "fail=write:$(errno "$name")"
		run ! write_block oflag=direct
		[[ $output == *"${texts[$name]}" ]]
		bdus destroy "$id"
		ends "$pid" 0
	done
}

@test "what is no errno becomes EIO" {
	for value in -28 600 1000000; do
		serve apidrv fail=write:$value
		run ! write_block oflag=direct
		[[ $output == *'Input/output error' ]]
		bdus destroy "$id"
	done
}

@test "each callback's error reaches its client" {
	serve apidrv ops=read,write,write_zeros,fua_write,flush,discard,secure_erase \
		fail=read:28 disable_partition_scanning=1
	run ! read_block
	bdus destroy "$id"
	for op in write_zeros discard secure_erase; do
		serve apidrv ops=read,write,$op fail=$op:28
		case $op in
		write_zeros) run ! fallocate -p -o 0 -l 1M "$dev" ;;
		discard) run ! blkdiscard "$dev" ;;
		secure_erase) run ! blkdiscard -s "$dev" ;;
		esac
		[[ $output == *'No space left on device'* ]]
		bdus destroy "$id"
	done
	serve apidrv ops=read,write,fua_write,flush fail=fua_write:28
	run ! write_block oflag=direct,dsync
	bdus destroy "$id"
	serve apidrv ops=read,write,flush fail=flush:28
	run ! write_block conv=fsync
	bdus destroy --no-flush "$id"
}

@test "bdus_abort: the driver stops, clients get EIO, the device goes" {
	for op in read write flush discard ioctl; do
		rm -f trace
		serve apidrv ops=read,write,flush,discard,ioctl fail=$op:abort \
			trace=trace disable_partition_scanning=1 \
			max_concurrent_callbacks=4
		case $op in
		read) run ! read_block ;;
		write) run ! write_block oflag=direct ;;
		flush) run ! write_block conv=fsync ;;
		discard) run ! blkdiscard "$dev" ;;
		ioctl) run ! apiclient refused "$dev" 0 ;;
		esac
		ends "$pid" 1
		grep -q '^errno 5: .*abort' api.err
		[[ $(calls terminate) == 1 ]]
		wait_until 5 no_device
	done
}

@test "bdus_abort while partitions are looked for" {
	refused fail=read:abort trace=trace
	[[ $output == 'errno 5: '*abort* ]]
	[[ $(calls terminate) == 1 && $(calls available) == 0 ]]
	wait_until 5 no_device
}

@test "a driver that is killed takes its device along" {
	serve apidrv
	kill -TERM "$pid"
	ends "$pid" 143
	wait_until 5 no_device
}

@test "without privilege: EPERM, with what to do" {
	chmod a+rx .
	run -1 --separate-stderr setpriv --reuid 65534 --clear-groups \
		env PATH="$PATH" apidrv
	[[ $stderr == 'errno 1: '*/dev/bdus-control*'root'* ]]
	run -1 --separate-stderr setpriv --reuid 65534 --clear-groups \
		env PATH="$PATH" apiclient destroy 0
	[[ $stderr == 'errno 1: '* ]]
	run -1 --separate-stderr setpriv --reuid 65534 --clear-groups \
		env PATH="$PATH" apiclient versions
	[[ $stderr == 'errno 1: '* ]]
}

@test "the module is loaded when it is absent" {
	wait_until 5 rmmod kbdus
	serve apidrv
	[[ -d /sys/module/kbdus ]]
}

@test "error messages: empty at first, the thread's own, kept by success" {
	apiclient messages
}

@test "nothing is printed by the library itself" {
	serve apidrv
	[[ ! -s api.err ]]
	bdus destroy "$id"
	[[ ! -s api.err ]]
}

### attributes ################################################################

@test "size and block sizes are as given" {
	serve apidrv size=8388608 logical_block_size=4096 \
		physical_block_size=4096
	[[ $(blockdev --getsize64 "$dev") == 8388608 ]]
	[[ $(blockdev --getss "$dev") == 4096 ]]
	[[ $(blockdev --getpbsz "$dev") == 4096 ]]
	[[ $(shown size) == 8388608 ]]
	[[ $(shown logical_block_size) == 4096 ]]
	[[ $(shown physical_block_size) == 4096 ]]
}

@test "attributes of 0 are chosen, and ctx shows what was" {
	serve apidrv ops=read,write,write_zeros,discard
	[[ $(shown logical_block_size) == "$(blockdev --getss "$dev")" ]]
	[[ $(shown physical_block_size) == "$(blockdev --getpbsz "$dev")" ]]
	[[ $(shown max_concurrent_callbacks) == 1 ]]
	[[ $(shown max_read_write_size) == \
		$(($(queue_file max_hw_sectors_kb) * 1024)) ]]
	[[ $(shown max_write_zeros_size) == "$(queue_file write_zeroes_max_bytes)" ]]
	[[ $(shown max_discard_erase_size) == "$(queue_file discard_max_bytes)" ]]
}

@test "limits that are too large are brought down" {
	serve apidrv ops=read,write,write_zeros,discard,secure_erase \
		max_concurrent_callbacks=4294967295 \
		max_read_write_size=4294967295 max_write_same_size=4294967295 \
		max_write_zeros_size=4294967295 \
		max_discard_erase_size=4294967295
	(($(shown max_concurrent_callbacks) > 1))
	(($(shown max_read_write_size) <= 1048576))
	(($(shown max_write_zeros_size) % 512 == 0))
	(($(shown max_discard_erase_size) % 512 == 0))
	dd if=/dev/urandom of="$dev" bs=16M count=1 oflag=direct status=none
	blkdiscard -z "$dev"
	blkdiscard "$dev"
}

@test "limits of callbacks that are not there are 0" {
	serve apidrv
	[[ $(shown max_write_zeros_size) == 0 ]]
	[[ $(shown max_discard_erase_size) == 0 ]]
}

@test "bad attributes are refused, by name" {
	local bad=(
		size=0 size=1000 size=9223372036854775808
		logical_block_size=513 logical_block_size=256
		logical_block_size=65536 logical_block_size=1536
		physical_block_size=513 physical_block_size=256
		physical_block_size=2097152
		max_read_write_size=512 max_read_write_size=4095
		max_write_same_size=511 max_write_zeros_size=1
		max_discard_erase_size=100 timeout_ms=999
	)
	for attribute in "${bad[@]}"; do
		refused trace=trace "$attribute"
		[[ $output == "errno 22: ${attribute%=*}: ${attribute#*=}: "* ]]
	done
	refused logical_block_size=4096 physical_block_size=512
	[[ $output == 'errno 22: physical_block_size: 512: '* ]]
	refused size=12288 physical_block_size=8192
	[[ $output == 'errno 22: size: 12288: '* ]]
	[[ ! -s trace ]]
	no_device
}

@test "max_read_write_size: no request is larger" {
	# the driver looks for itself; see teardown
	serve apidrv max_read_write_size=10000 trace=trace
	[[ $(shown max_read_write_size) == 8192 ]]
	: >trace
	dd if=/dev/urandom of="$dev" bs=1M count=1 oflag=direct status=none
	(($(calls 'write ') == 128))
}

@test "max_write_zeros_size, max_discard_erase_size: no request is larger" {
	serve apidrv ops=read,write,write_zeros,discard,secure_erase \
		max_write_zeros_size=70000 max_discard_erase_size=1048576 \
		trace=trace
	[[ $(shown max_write_zeros_size) == 69632 ]]
	[[ $(shown max_discard_erase_size) == 1048576 ]]
	blkdiscard -z -l 1M "$dev"
	(($(calls write_zeros) >= 16))
	blkdiscard -l 4M "$dev"
	[[ $(calls discard) == 4 ]]
	blkdiscard -s -l 4M "$dev"
	(($(calls secure_erase) >= 4))
}

@test "max_concurrent_callbacks: so many run at once" {
	serve apidrv max_concurrent_callbacks=8 meet=8 \
		disable_partition_scanning=1
	# apart from each other, or some would be merged
	timeout 10 fio --name=a --filename="$dev" --rw=read:60k --bs=4k \
		--direct=1 --ioengine=libaio --iodepth=8 --size=1M --minimal \
		>fio.out
}

@test "max_concurrent_callbacks: 1 is one at a time" {
	# the driver looks for itself; see teardown
	serve apidrv sleep=read:1 trace=trace
	fio --name=a --filename="$dev" --rw=read --bs=4k --direct=1 \
		--ioengine=libaio --iodepth=16 --size=1M --minimal >fio.out
}

@test "disable_partition_scanning: partitions are not looked for" {
	truncate -s 16M file
	printf 'label: gpt\nsize=4M\n' | sfdisk -q file
	serve apidrv file=file
	wait_until 5 test -b "${dev}p1"
	bdus destroy "$id"
	serve apidrv file=file disable_partition_scanning=1
	[[ ! -e ${dev}p1 ]]
	run ! partx -a "$dev"
}

@test "timeout_ms: a driver that is stuck is killed" {
	serve apidrv timeout_ms=1000 sleep=write:60000 ops=read,write
	[[ $(attribute timeout_ms) == 1000 ]]
	run ! timeout 20 dd if=/dev/zero of="$dev" bs=4k count=1 oflag=direct
	ends "$pid" 137
	wait_until 5 no_device
}

@test "timeout_ms: 30 s unless given, and never" {
	serve apidrv
	[[ $(attribute timeout_ms) == 30000 ]]
	bdus destroy "$id"
	serve apidrv timeout_ms=4294967295
	[[ $(attribute timeout_ms) == 0 ]]
}

@test "log: each callback, on stderr" {
	serve apidrv log=1 ops=read,write,flush,ioctl
	write_block oflag=direct conv=fsync
	apiclient ioctl "$dev"
	bdus destroy "$id"
	ends "$pid" 0
	grep -q 'initialize()' api.err
	grep -q 'on_device_available()' api.err
	grep -q 'read(offset=0, size=' api.err
	grep -q 'write(offset=0, size=4096)' api.err
	grep -q 'flush()' api.err
	grep -q 'ioctl(command=0x' api.err
	grep -q 'terminate()' api.err
	grep -q 'max_read_write_size: 0 becomes' api.err
}

### the process ###############################################################

@test "daemonises: the first process leaves once the device is usable" {
	start apidrv daemonize=1 quiet=1
	[[ -b $dev && $(ps -o ppid= -p "$pid") -eq 1 ]]
}

@test "daemonises: own session, standard streams to /dev/null, directory kept" {
	umask 027
	start apidrv daemonize=1 quiet=1
	for fd in 0 1 2; do
		[[ $(readlink "/proc/$pid/fd/$fd") == /dev/null ]]
	done
	[[ $(readlink "/proc/$pid/cwd") == "$dir" ]]
	[[ $(awk '/^Umask/ { print $2 }' "/proc/$pid/status") == 0027 ]]
	[[ $(ps -o sid= -p "$pid") -eq $pid ]]
}

@test "daemonises: with standard streams closed" {
	timeout 10 apidrv daemonize=1 <&- >&- 2>&-
	dev=$(compgen -G '/dev/bdus-[0-9]*')
	dd if=/dev/urandom of="$dev" bs=1M count=4 oflag=direct status=none
}

@test "daemonises: a child that fails gives its status and message" {
	refused daemonize=1 "fail=initialize:$(errno ENOSPC)"
	[[ $output == 'errno 28: '* ]]
	refused daemonize=1 size=1
	[[ $output == 'errno 22: size'* ]]
	no_device
}

@test "daemonises: a driver that is killed before gives 128 and the signal" {
	apidrv daemonize=1 sleep=available:5000 >api.out 3>&- 4>&- &
	wait_until 5 test -s api.out
	read -r dev <api.out
	kill -KILL "$(cat "/sys/block/${dev#/dev/}/bdus/pid")"
	ends "$!" 137
}

has_lines() { [[ $(wc -l <"$2") == "$1" ]]; }

@test "several devices in one process, which outlives them" {
	launch apimulti 3
	wait_until 5 has_lines 3 api.out
	seen=
	while read -r dev; do
		seen+=$(dd if="$dev" bs=1 count=1 status=none)
	done < <(sort api.out)
	[[ $(fold -w1 <<<"$seen" | sort | xargs) == '1 2 3' ]]
	read -r dev <api.out
	bdus destroy "$dev"
	[[ $(compgen -G '/dev/bdus-[0-9]*' | wc -l) == 2 ]]
	kill -0 "$pid"
	bdus destroy --all
	kill -0 "$pid"
	[[ ! -s api.err ]]
	kill "$pid"
	ends "$pid" 143
}

### any device ################################################################

@test "bdus_get_dev_id_from_path: a node, a link, a relative path" {
	start bdus ram --size 1M
	[[ $(apiclient id "$dev") == "$id" ]]
	ln -s "$dev" link
	[[ $(apiclient id link) == "$id" ]]
	ln -s "$dev" "$id"
	[[ $(apiclient id "$id") == "$id" ]]
}

@test "bdus_get_dev_id_from_path: what is none of ours is ENODEV" {
	truncate -s 16M file
	printf 'label: gpt\nsize=4M\n' | sfdisk -q file
	start bdus loop file
	wait_until 5 test -b "${dev}p1"
	for path in absent file /dev/null "$id" "${dev}p1" ''; do
		run -1 --separate-stderr apiclient id "$path"
		[[ $stderr == 'errno 19: '* ]]
	done
}

@test "bdus_flush_dev: flushes; ENODEV; the driver's errno" {
	serve apidrv ops=read,write,flush trace=trace
	dd if=/dev/urandom of="$dev" bs=4k count=3 status=none
	apiclient flush "$id"
	(($(calls flush) > 0))
	run -1 --separate-stderr apiclient flush 4711
	[[ $stderr == 'errno 19: /dev/bdus-4711: '* ]]
	bdus destroy "$id"
	serve apidrv ops=read,write,flush "fail=flush:$(errno ENOSPC)"
	run -1 --separate-stderr apiclient flush "$id"
	[[ $stderr == "errno 28: $dev: "* ]]
	bdus destroy --no-flush "$id"
}

@test "bdus_destroy_dev: returns when the device is gone; ENODEV" {
	serve apidrv trace=trace
	apiclient destroy "$id"
	[[ ! -e $dev ]]
	[[ $(calls terminate) == 1 ]]
	run -1 --separate-stderr apiclient destroy "$id"
	[[ $stderr == "errno 19: $dev: "* ]]
}

@test "bdus_destroy_dev: EBUSY when it is open, EIO when the flush fails" {
	start bdus ram --size 1M
	exec 5<"$dev"
	run -1 --separate-stderr apiclient destroy "$id"
	exec 5<&-
	[[ $stderr == "errno 16: $dev: in use: "* ]]
	serve apidrv ops=read,write,flush "fail=flush:$(errno ENOSPC)"
	run -1 --separate-stderr apiclient destroy "$id"
	[[ $stderr == "errno 5: $dev: "*flush* ]]
	[[ -b $dev ]]
	bdus destroy --no-flush "$id"
}

@test "versions: the interface's and the module's" {
	run -0 apiclient versions
	[[ ${lines[0]} == 0.1.2 ]]
	[[ ${lines[1]} == "$(cat /sys/module/kbdus/version)" ]]
}

### the asynchronous form #####################################################

@test "async: completed later by another thread, many at a time" {
	serve apiasync buffer
	verify "$dev" 16M
	apiclient refused "$dev" "$(errno ENOTTY)"
	bdus destroy "$id"
	ends "$pid" 0
	(($(cat most.out) >= 16))
}

@test "async: by address, in the callback and later, without buffers" {
	for form in addr late-addr; do
		serve apiasync $form
		verify "$dev" 16M
		bdus destroy "$id"
		ends "$pid" 0
	done
}

@test "async: a flush follows a write that another thread has completed" {
	serve apiasync buffer
	fill_pattern data 81920
	timeout 10 dd if=data of="$dev" bs=4k oflag=direct,dsync status=none
	cmp -n 81920 data "$dev"
}

@test "async: zeroes" {
	serve apiasync zero
	dd if=/dev/urandom of="$dev" bs=1M count=4 oflag=direct status=none
	cmp -n $((16 << 20)) "$dev" /dev/zero
}

@test "async: bdus_abort ends the driver when all is completed" {
	serve apiasync abort
	run ! fio --name=a --filename="$dev" --rw=randrw --bs=4k --direct=1 \
		--ioengine=libaio --iodepth=16 --size=1M --minimal
	ends "$pid" 1
	grep -q '^errno 5: .*abort' api.err
	wait_until 5 no_device
}

@test "async: no_buffers and ioctl do not go together" {
	run -1 --separate-stderr apiasync both
	[[ $stderr == 'errno 22: '*no_buffers* ]]
}

### header, library and examples ##############################################

@test "bdus.h: alone, in C99 and in C++, without a warning" {
	for language in 'c -std=c99 -Wstrict-prototypes' 'c++ -std=c++11'; do
		# shellcheck disable=SC2086 # two words
		echo '#include <bdus.h>' | cc -x $language -pedantic -Wall \
			-Wextra -Werror -fsyntax-only -I"$project/src" -
	done
}

# requires MAJOR MINOR PATCH [CODE]: does a program that does so compile?
requires() {
	printf '#define BDUS_REQUIRE_VERSION_%s\n' "MAJOR $1" "MINOR $2" \
		"PATCH $3" >version.c
	printf '#include <bdus.h>\n%s\n' "${4-}" >>version.c
	cc -fsyntax-only -I"$project/src" version.c
}

@test "bdus.h: BDUS_REQUIRE_VERSION_*" {
	requires 0 1 0
	requires 0 1 1
	requires 0 1 2
	run ! requires 0 1 3
	run ! requires 0 0 0
	run ! requires 0 2 0
	run ! requires 1 0 0
	printf '#define BDUS_REQUIRE_VERSION_MAJOR 0\n#include <bdus.h>\n' \
		>version.c
	run ! cc -fsyntax-only -I"$project/src" version.c
	code='uint32_t f(struct bdus_ctx *c) { return c->major + c->minor; }'
	requires 0 1 1 "$code"
	run ! requires 0 1 0 "$code"
}

@test "the library shows bdus_* only, and needs libc only" {
	archive=$project/build/lib/libbdus.a
	[[ $BATS_TEST_FILENAME != *musl* ]] ||
		archive=$project/build/lib/musl/libbdus.a
	run ! eval "nm -g --defined-only '$archive' | grep ' [A-Z] ' |
		grep -v ' bdus_'"
	nm -g --defined-only "$archive" | grep -q ' bdus_run$'
	run ! eval "nm -u '$archive' | grep -iE 'zstd|crypto|ssl|evp'"
}

@test "examples/ram: a disk" {
	start "$api/examples/ram"
	verify "$dev" 64M
}

@test "examples/ioctl: a disk with commands" {
	start "$api/examples/ioctl"
	dd if=/dev/urandom of="$dev" bs=1M count=2 oflag=direct status=none
	[[ $("$api/examples/ioctl" "$dev") == *' 2097152 bytes' ]]
	"$api/examples/ioctl" "$dev" 0x41
	[[ $(dd if="$dev" bs=8 count=1 iflag=fullblock status=none) == AAAAAAAA ]]
}
