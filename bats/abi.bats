#!/usr/bin/env bats
# The ioctls of kbdus against everything that a program can pass to them.

load lib

@test "every ioctl refuses every bad argument, and works after that" {
	run -0 abi
	[[ $output == *1..* ]]
}

@test "only root opens the control device" {
	[[ $(stat -c %a /dev/bdus-control) == 600 ]]
	run -1 setpriv --reuid=65534 --clear-groups cat /dev/bdus-control
}

@test "CREATE and DESTROY need CAP_SYS_ADMIN" {
	start bdus zero --size 1M
	run -7 setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin \
		bdus zero --size 1M
	[[ $output == *rivilege* ]]
	run -7 setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin \
		bdus destroy "$id"
	[[ -b $dev ]]
}

@test "an id is never used twice" {
	for i in 0 1 2; do
		start bdus zero --size 1M
		[[ $id == "$i" ]]
		bdus destroy "$id"
	done
}

@test "200 times created, used and destroyed: nothing leaks" {
	cycle() {
		start bdus ram --size 8M
		dd if=/dev/urandom of="$dev" bs=64k count=8 oflag=direct \
			status=none
		bdus destroy "$id"
	}
	memory() { awk '/^(Slab|Percpu|VmallocUsed|KernelStack):/ { n += $2 } END { print n }' /proc/meminfo; }
	for ((i = 0; i < 20; i++)); do cycle; done
	before=$(memory)
	files=$(cut -f1 /proc/sys/fs/file-nr)
	for ((i = 0; i < ${BDUS_CYCLES:-200}; i++)); do cycle; done
	echo 3 >/proc/sys/vm/drop_caches
	echo "kernel memory: $before kB, then $(memory) kB"
	# a request array or a disk lost each time would be 20 MB and more
	(($(memory) < before + 4096))
	(($(cut -f1 /proc/sys/fs/file-nr) < files + 50))
}

@test "64 devices at once" {
	for ((i = 0; i < 64; i++)); do
		start bdus zero --size 1M --queues 1
	done
	[[ $(bdus list -n | wc -l) == 64 ]]
	bdus destroy --all
	no_device
}
