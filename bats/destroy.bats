#!/usr/bin/env bats
# destroy, and the other ends of a device; how drivers start and tell of it.

load lib

teardown() {
	umount -q /mnt || true
	swapoff --all
	common_teardown
}

# refused_busy HOLDER...: destroy says 5, names them, and the device stays
refused_busy() {
	local holder
	run -5 bdus destroy "$dev"
	for holder; do
		[[ $output == *"bdus destroy: $dev: in use: "*"$holder"* ]]
	done
	[[ -b $dev && $(attribute state) == live ]]
}

### refused because of whoever uses it ########################################

@test "mounted: 5, with the mount point named; --force: gone all the same" {
	start bdus ram --size 16M
	mkfs.ext4 -q "$dev"
	mkdir "mount point"
	mount "$dev" "mount point"
	refused_busy "mounted on $dir/mount point"
	bdus destroy --force "$dev"
	[[ ! -e $dev ]]
	has_ended "$pid"
	umount "mount point"
}

@test "open: 5, with the process named" {
	start bdus ram --size 16M
	exec {fd}<"$dev"
	refused_busy "(pid $BASHPID)"
	exec {fd}<&-
	bdus destroy "$dev"
}

@test "a partition is mounted: 5, with the mount point named" {
	truncate -s 32M file
	printf 'label: gpt\nsize=16M\n' | sfdisk -q file
	start bdus loop file
	mkfs.ext4 -q "${dev}p1"
	mount "${dev}p1" /mnt
	refused_busy 'mounted on /mnt'
	umount /mnt
	bdus destroy "$dev"
}

@test "mounted where only others see it: 5, with one of them named" {
	start bdus ram --size 16M
	mkfs.ext4 -q "$dev"
	mkfifo go
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount bash -c 'mount "$1" /mnt && touch ready && read <go' \
		- "$dev" 3>&- 4>&- &
	other=$!
	wait_until 10 test -e ready
	refused_busy 'mounted on /mnt' "(pid $other)"
	echo >go
	wait "$other"
	bdus destroy "$dev"
}

@test "swap: 5, said so" {
	start bdus ram --size 16M
	mkswap -q "$dev"
	swapon "$dev"
	refused_busy "swap on $dev"
	swapoff "$dev"
	bdus destroy "$dev"
}

@test "a device mapper device or a loop device is on it: 5, named" {
	start bdus ram --size 16M
	echo "0 16384 linear $dev 0" | dmsetup create upper
	upper=$(realpath /dev/mapper/upper)
	refused_busy "used by /dev/dm-"
	dmsetup remove upper
	modprobe loop
	losetup --find --show "$dev" >loop
	refused_busy "used by $(<loop)"
	losetup --detach "$(<loop)"
	bdus destroy "$dev"
}

### several, and all ##########################################################

@test "of several, those that can go go; the first failure is the status" {
	start bdus zero --size 1M
	busy=$dev
	start bdus zero --size 1M
	exec {fd}<"$busy"
	run -5 bdus destroy "$busy" 4711 "$id"
	exec {fd}<&-
	[[ $output == *"$busy: in use"*'4711: no such device'* ]]
	[[ -b $busy && ! -e $dev ]]
	has_ended "$pid"
}

@test "what is no device of bdus: 4" {
	for name in 4711 bdus-4711 /dev/bdus-4711 /dev/null "$dir"; do
		run -4 bdus destroy "$name"
		[[ $output == "bdus destroy: $name: "* ]]
	done
}

@test "without the kernel module: 7; --all: nothing to do" {
	rmmod kbdus
	run -7 bdus destroy 0
	[[ $output == *'kernel module kbdus is not loaded'* ]]
	run -0 bdus destroy --all
	[[ -z $output && ! -e /sys/module/kbdus ]]
}

@test "--all takes devices away that stand on each other" {
	start bdus ram --size 16M
	start bdus loop "$dev"
	start bdus loop --direct "$dev"
	dd if=/dev/urandom of="$dev" bs=1M count=4 status=none
	start bdus zero --size 1M
	run -0 --separate-stderr bdus destroy --all
	# shellcheck disable=SC2154 # bats sets it
	[[ -z $output && -z $stderr ]]
	no_device
	no_driver
}

### the driver does not answer ################################################

@test "a driver that is stopped and has to flush: 6, and the device stays" {
	truncate -s 1M file
	start bdus loop file
	kill -STOP "$pid"
	run -6 bdus destroy --timeout 1 "$dev"
	[[ $output == *"$dev: the driver (pid $pid) did not flush within 1 s"* ]]
	kill -CONT "$pid"
	dd if=/dev/urandom of="$dev" bs=1M count=1 oflag=direct status=none
	cmp file "$dev"
	[[ $(attribute state) == live ]]
	bdus destroy "$dev"
}

@test "a driver that is stopped and has not: 6, and the device goes later" {
	start bdus ram --size 1M
	kill -STOP "$pid"
	run -6 bdus destroy --timeout 1 "$dev"
	[[ $output == *"$dev: the driver (pid $pid) did not leave within 1 s"* ]]
	[[ $(bdus list -no state) == ending ]]
	kill -CONT "$pid"
	wait_until 5 is_gone "$dev"
	wait_until 5 has_ended "$pid"
}

@test "--force kills a driver that is stopped, soon after the time-out" {
	start bdus ram --size 16M
	kill -STOP "$pid"
	SECONDS=0
	bdus destroy --force --timeout 1 "$dev"
	((SECONDS <= 6))
	has_ended "$pid"
	[[ ! -e $dev ]]
}

@test "a flush that fails: 1, and the device stays; --no-flush: it goes" {
	start_raw --error EIO --error-op flush
	run -1 bdus destroy "$dev"
	[[ $output == *"$dev: cannot flush, so it stays: I/O error"* ]]
	[[ $output == *"hint: 'bdus destroy --no-flush'"* ]]
	[[ $(attribute state) == live ]]
	bdus destroy --no-flush "$dev"
	[[ ! -e $dev ]]
}

### when it returns, all is free ##############################################

@test "the file can be used, and the module unloaded, at once" {
	truncate -s 1M file
	# like udev, at any time
	open_and_close() {
		until [[ -e stop ]]; do
			for node in /dev/bdus-[0-9]*; do
				: <"$node" || true
			done
		done 2>/dev/null
	}
	open_and_close 3>&- 4>&- &
	for ((i = 0; i < 20; i++)); do
		start bdus loop file
		bdus destroy "$dev"
		has_ended "$pid"
		[[ ! -e $dev ]]
		rmmod kbdus
	done
	touch stop
	wait $!
}

### SIGTERM ###################################################################

@test "SIGTERM and SIGINT end a driver in the foreground with status 0" {
	for signal in TERM INT; do
		bdus zero --size 1M --foreground >path 3>&- 4>&- &
		wait_until 5 test -s path
		node=$(<path)
		[[ -b $node ]]
		kill "-$signal" $!
		wait $! # its status
		wait_until 5 is_gone "$node"
	done
}

@test "SIGTERM writes back what a mounted file system holds" {
	truncate -s 32M file
	mkfs.ext4 -q file
	start bdus loop file
	mount "$dev" /mnt
	fill_pattern data 4194304
	cp data /mnt/
	kill -TERM "$pid"
	wait_until 15 has_ended "$pid"
	umount /mnt
	start bdus loop file
	mount "$dev" /mnt
	cmp data /mnt/data
	umount /mnt
	e2fsck -fn "$dev"
}

@test "SIGTERM while it is open ends it all the same, and --log says so" {
	start bdus zero --size 1M --log log
	exec {fd}<"$dev"
	kill -TERM "$pid"
	wait_until 5 has_ended "$pid"
	exec {fd}<&-
	[[ $(<log) =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}.*'the device is still open; ending it all the same' ]]
}

### starting ##################################################################

@test "a driver loads the module when it is absent" {
	rmmod kbdus
	start bdus ram --size 1M
	[[ -d /sys/module/kbdus && -b $dev ]]
}

@test "a driver detaches: own session, no terminal, child of init, in /" {
	start bdus zero --size 1M
	read -r _ _ _ parent _ session terminal _ <"/proc/$pid/stat"
	((parent == 1 && session == pid && terminal == 0))
	[[ $(readlink "/proc/$pid/cwd") == / ]]
	for fd in 0 1 2; do
		[[ $(readlink "/proc/$pid/fd/$fd") == /dev/null ]]
	done
}

@test "--pidfile: the process id, gone with the device" {
	start bdus zero --size 1M --pidfile pidfile
	[[ $(<pidfile) == "$pid" ]]
	bdus destroy "$dev"
	[[ ! -e pidfile ]]
	run -1 bdus zero --size 1M --pidfile nowhere/pidfile
	[[ $output == *'nowhere/pidfile: cannot write (--pidfile): No such file'* ]]
	no_device
}

@test "--ready-fd: the path, once the device is usable" {
	bdus zero --size 1M --foreground --ready-fd 5 5>ready >path 3>&- 4>&- &
	wait_until 5 test -s ready
	[[ -b $(<ready) ]]
	wait_until 5 cmp ready path
	run -2 bdus zero --size 1M --ready-fd 99
	[[ $output == *'descriptor 99 is not open'* ]]
}

@test "NOTIFY_SOCKET: READY=1 with the path, and STOPPING=1" {
	cat >receive <<'END'
use IO::Socket::UNIX;
my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "notify");
for (1 .. 2) {
	$socket->recv(my $text, 4096);
	open(my $file, ">", "message.$_.new");
	print $file $text;
	close($file);
	rename("message.$_.new", "message.$_");
}
END
	perl receive 3>&- 4>&- &
	wait_until 10 test -S notify
	export NOTIFY_SOCKET=$dir/notify
	start bdus zero --size 1M
	wait_until 5 test -e message.1
	[[ $(<message.1) == "READY=1
MAINPID=$pid
STATUS=$dev" ]]
	kill -TERM "$pid"
	wait_until 5 test -e message.2
	[[ $(<message.2) == STOPPING=1 ]]
	wait $!
}

@test "a path that cannot be printed: 1, said so, and the device is there" {
	run -1 bash -c 'bdus zero --size 1M >/dev/full'
	[[ $output == *'/dev/bdus-0: made, but cannot print its path'* ]]
	bdus destroy /dev/bdus-0
}
