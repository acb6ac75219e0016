#!/usr/bin/env bats
# libbdus: drivers that take over from others, alive or dead.

load api

# serve_next DRIVER...: as serve, for a driver that takes over $dev; the former
# one's process is in $former
serve_next() {
	local device=$dev
	former=$pid
	cp api.out former.out
	cp api.err former.err
	serve "$@" rerun="$device"
	[[ $dev == "$device" ]]
}

# Disks that drivers share are files.
make_disk() { truncate -s 16M disk; }

all=ops=read,write,write_zeros,fua_write,flush,discard,secure_erase,ioctl

@test "rerun: the next driver serves, the former one returns true" {
	make_disk
	serve apidrv file=disk trace=trace1 ops=read,write,flush
	fill_pattern data $((16 << 20))
	dd if=data of="$dev" bs=1M oflag=direct status=none
	before=$id
	serve_next apidrv file=disk trace=trace ops=read,write,flush
	ends "$former" 0
	[[ ! -s former.err ]]
	[[ $(grep -vE '^(read|write|flush)' trace1 | xargs) == \
		'initialize anew available terminate' ]]
	[[ $id == "$before" && $(shown id) == "$id" && $(shown is_rerun) == 1 ]]
	[[ $(grep -vE '^(read|write|flush)' trace | xargs) == \
		'initialize again available' ]]
	[[ $(shown number) == "$(cat "/sys/block/bdus-$id/dev")" ]]
	cmp data "$dev"
	[[ $(cat "/sys/block/bdus-$id/bdus/pid") == "$pid" ]]
	bdus destroy "$id"
	ends "$pid" 0
}

@test "rerun: the former driver gets a flush when it is replaced" {
	make_disk
	serve apidrv file=disk trace=trace1 ops=read,write,flush
	dd if=/dev/urandom of="$dev" bs=1M count=1 oflag=direct status=none
	serve_next apidrv file=disk ops=read,write,flush
	ends "$former" 0
	[[ $(grep -vE '^read' trace1 | tail -n 2 | xargs) == 'flush terminate' ]]
}

@test "rerun: what is 0 is as the device has it" {
	serve apidrv "$all" logical_block_size=4096 size=8388608 \
		max_read_write_size=65536 max_write_zeros_size=131072 \
		max_discard_erase_size=131072 disable_partition_scanning=1
	grep -v 'is_rerun' api.out >was
	serve_next apidrv "$all" size=0
	grep -v 'is_rerun' api.out | diff was -
}

@test "rerun: the default on_device_available prints the path" {
	serve apidrv
	serve_next apidrv quiet=1
	[[ $(cat api.out) == "$dev" ]]
}

@test "rerun: daemonises when it has taken over" {
	serve apidrv
	former=$pid
	[[ $(apidrv daemonize=1 quiet=1 rerun="$dev") == "$dev" ]]
	ends "$former" 0
	read_block status=none
}

@test "rerun: what does not fit is refused, and the former driver serves on" {
	serve apidrv "$all"
	for wrong in size=8388608 logical_block_size=4096 \
		physical_block_size=65536 max_read_write_size=4096 \
		max_write_zeros_size=512 max_discard_erase_size=512 \
		ops=read ops=read,write,write_zeros,fua_write,flush; do
		run -1 --separate-stderr apidrv "$all" "$wrong" trace=trace \
			rerun="$dev"
		[[ $stderr == 'errno '* ]]
	done
	[[ ! -s trace ]]
	read_block status=none
	write_block oflag=direct
	kill -0 "$pid"
}

@test "rerun: more operations are accepted, and not offered" {
	serve apidrv ops=read,write
	serve_next apidrv "$all"
	run ! blkdiscard "$dev"
	apiclient refused "$dev" "$(errno ENOTTY)"
}

@test "rerun: no such device, ENODEV" {
	run -1 --separate-stderr apidrv rerun=/dev/bdus-4711
	[[ $stderr == 'errno 19: /dev/bdus-4711: '* ]]
}

@test "rerun: under load, again and again, without an error" {
	make_disk
	serve apidrv file=disk ops=read,write,flush max_concurrent_callbacks=4
	(verify "$dev" 16M --loops=8) 3>&- 4>&- &
	client=$!
	for _ in 1 2 3 4 5; do
		serve_next apidrv file=disk ops=read,write,flush \
			max_concurrent_callbacks=4
		ends "$former" 0
	done
	ends "$client" 0
}

@test "rerun: of one of bdus' own drivers" {
	make_disk
	start bdus loop disk
	fill_pattern data $((16 << 20))
	dd if=data of="$dev" bs=1M oflag=direct status=none
	: >api.out
	: >api.err
	serve_next apidrv "$all" file=disk
	cmp data "$dev"
	wait_until 5 has_ended "$former"
}

@test "rerun: from one form to the other" {
	serve apidrv ops=read,write,flush,discard
	former=$pid device=$dev
	launch apiasync buffer "$device"
	wait_until 5 test -s api.out
	ends "$former" 0
	verify "$dev" 16M
	serve_next apidrv ops=read,write,flush,discard
	ends "$former" 0
	read_block status=none
}

@test "recoverable: requests wait for the next driver" {
	make_disk
	serve apidrv file=disk recoverable=1 ops=read,write,flush
	[[ $(shown recoverable) == 1 && $(attribute recoverable) == 1 ]]
	fill_pattern data $((16 << 20))
	dd if=data of="$dev" bs=1M oflag=direct status=none
	kill -KILL "$pid"
	ends "$pid" 137
	cmp -n 1048576 data "$dev" 3>&- 4>&- &
	client=$!
	sleep 0.5
	kill -0 "$client"
	serve_next apidrv file=disk ops=read,write,flush trace=trace
	ends "$client" 0
	[[ $(shown recoverable) == 1 ]]
	cmp data "$dev"
}

@test "recoverable: what the dead driver had comes again" {
	make_disk
	serve apidrv file=disk recoverable=1 sleep=write:60000 trace=trace1
	dd if=/dev/urandom of=data bs=4k count=1 status=none
	dd if=data of="$dev" bs=4k oflag=direct status=none 3>&- 4>&- &
	client=$!
	wait_until 5 has_in_flight
	kill -KILL "$pid"
	ends "$pid" 137
	serve_next apidrv file=disk trace=trace
	ends "$client" 0
	grep -q '^write 0 4096' trace
	cmp -n 4096 data "$dev"
}

@test "recoverable: an ioctl comes again" {
	serve apidrv recoverable=1 ops=read,write,ioctl sleep=ioctl:60000 \
		timeout_ms=4294967295
	apiclient ioctl "$dev" 3>&- 4>&- &
	client=$!
	wait_until 5 has_in_flight
	kill -KILL "$pid"
	ends "$pid" 137
	serve_next apidrv ops=read,write,ioctl trace=trace
	ends "$client" 0
	[[ $(calls ioctl) == 7 ]]
}

@test "recoverable: bdus_abort leaves the request to the next driver" {
	serve apidrv recoverable=1 fail=write:abort
	write_block oflag=direct 3>&- 4>&- &
	client=$!
	ends "$pid" 1
	grep -q '^errno 5: .*abort' api.err
	kill -0 "$client"
	serve_next apidrv trace=trace
	ends "$client" 0
	grep -q '^write 0 4096' trace
}

@test "rerun: if initialize fails, the former driver serves on" {
	serve apidrv
	run -1 --separate-stderr apidrv fail=initialize:28 rerun="$dev"
	[[ $stderr == 'errno 28: '* ]]
	[[ $(attribute pid) == "$pid" && $(attribute restarts) == 0 ]]
	read_block status=none
}

@test "recoverable: a next driver whose initialize fails is no driver" {
	serve apidrv recoverable=1
	kill -KILL "$pid"
	ends "$pid" 137
	run -1 --separate-stderr apidrv fail=initialize:28 rerun="$dev"
	[[ $stderr == 'errno 28: '* ]]
	serve_next apidrv
	read_block status=none
}

@test "examples/loop: replaced and restarted under a file system" {
	truncate -s 64M disk
	start "$api/examples/loop" disk
	mkfs.ext4 -q "$dev"
	mount "$dev" /mnt
	fill_pattern data $((8 << 20))
	cp data /mnt/1
	[[ $("$api/examples/loop" disk "$dev") == "$dev" ]]
	wait_until 5 has_ended "$pid"
	cp data /mnt/2
	kill -KILL "$(attribute pid)"
	cp data /mnt/3 3>&- 4>&- &
	client=$!
	[[ $("$api/examples/loop" disk "$dev") == "$dev" ]]
	ends "$client" 0
	sync -f /mnt
	umount /mnt
	mount "$dev" /mnt
	for file in 1 2 3; do
		cmp data "/mnt/$file"
	done
	umount /mnt
	bdus destroy "$dev"
	fsck.ext4 -fn disk
}
