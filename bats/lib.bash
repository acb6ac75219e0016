# shellcheck shell=bash
#
# lib.bash - what all tests that use real devices share. They run as root in a
# machine where kbdus can be loaded (vm/run), write to $dir only, and leave
# nothing behind: teardown fails a test that leaves a device, a process, a
# module that cannot be unloaded, or a complaint of the kernel.

bats_require_minimum_version 1.5.0

# The helpers, see bats/helpers/.
PATH+=:$BATS_TEST_DIRNAME/../build/bats

# Lines of the kernel's log that fail a test.
complaints='BUG|WARNING|KASAN|UBSAN|possible (recursive|circular)|suspicious RCU'
complaints+='|hung|blocked for more|scheduling while atomic|refcount_t|Call Trace'

common_setup() {
	dir=$(mktemp -d /run/bats.XXXXXX)
	cd "$dir" || return
	dmesg --clear
	modprobe kbdus
}

# bats runs teardown without errexit: only its status counts. In an emulated
# machine each program that is run takes a tenth of a second.
common_teardown() {
	local status=0
	cd /
	[[ $(</proc/mounts) != *' /mnt '* ]] || umount -q /mnt
	[[ -z $(compgen -G '/sys/block/bdus-[0-9]*') ]] ||
		bdus destroy --all --timeout 10 ||
		bdus destroy --all --force --no-flush --timeout 5 || status=1
	wait_until 5 no_driver || status=1
	wait_until 5 no_device || status=1
	wait_until 5 unload || status=1
	if [[ $(dmesg) =~ $complaints ]]; then
		dmesg | grep -E "$complaints"
		status=1
	fi
	rm -rf "$dir"
	return "$status"
}

setup() { common_setup; }
teardown() { common_teardown; }

# wait_until SECONDS COMMAND...: the command's success, within that time
wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		if ((SECONDS > end)); then
			echo "waited in vain for: $*" >&2
			return 1
		fi
		sleep 0.02
	done
}

no_device() { [[ -z $(compgen -G '/dev/bdus-[0-9]*') ]]; }
no_driver() {
	! grep -qsxE 'bdus|rawdrv|api(drv|async|multi)|ram|loop|ioctl' \
		/proc/[0-9]*/comm
}
unload() { [[ ! -d /sys/module/kbdus ]] || rmmod kbdus 2>/dev/null; }
is_gone() { [[ ! -e $1 ]]; }
has_ended() { ! kill -0 "$1" 2>/dev/null; }

# start COMMAND...: makes a device; $dev is its path, $id, $pid its driver's
start() {
	dev=$("$@")
	id=${dev#/dev/bdus-}
	pid=$(cat "/sys/block/bdus-$id/bdus/pid")
}

# start_raw OPTION...: likewise, the misbehaving driver; $pid is a child
start_raw() {
	: >raw.out
	rawdrv "$@" >raw.out 3>&- 4>&- &
	pid=$!
	wait_until 5 test -s raw.out
	dev=$(cat raw.out)
	id=${dev#/dev/bdus-}
}

attribute() { cat "/sys/block/bdus-$id/bdus/$1"; }
is_in_state() { [[ $(attribute state) == "$1" ]]; }
has_in_flight() { (($(attribute in_flight) > 0)); }
has_written() { (($(attribute write_requests) >= $1)); } # REQUESTS
has_restarts() { (($(attribute restarts) >= $1)); }	 # N

# kill -9, of the driver that serves now
kill_driver() {
	wait_until 10 is_in_state live
	kill -9 "$(attribute pid)"
}

parent_of() { awk '{ print $4 }' "/proc/$1/stat"; } # PID

# verify DEV SIZE [FIO-OPTION...]: random writes of 4k to 64k, then read back
verify() {
	fio --name=verify --filename="$1" --size="$2" --direct=1 \
		--ioengine=libaio --iodepth=32 --rw=randwrite --bsrange=4k-64k \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 \
		--allow_file_create=0 --minimal "${@:3}" >fio.out
}

# A client that writes to $dev and verifies what it reads, until end_verify.
start_verify() { # [FIO-OPTION...]
	fio --name=verify --filename="$dev" --size=48M --direct=1 \
		--ioengine=libaio --iodepth=32 --rw=randwrite --bsrange=4k-64k \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 \
		--verify_backlog=256 --loops=1000 --allow_file_create=0 \
		--thinktime=1 --thinktime_blocks=64 "$@" \
		>fio.out 2>&1 3>&- 4>&- &
	client=$!
	wait_until 30 has_written 100
}

# fio ends at SIGINT and says whether anything was wrong until then.
end_verify() {
	kill -INT "$client"
	wait "$client" || true
	grep -q 'err= 0' fio.out
}

# files_stay TYPE N CHANGE FSCK...: what they are, in a file system on $dev,
# while CHANGE is done N times to it, told how often by then
files_stay() {
	local type=$1 times=$2 change=$3 n copy file
	"mkfs.$type" -q "$dev"
	mount -t "$type" "$dev" /mnt
	fill_pattern data 4194304
	for ((n = 1; n <= times; n++)); do
		cp data "/mnt/data.$n" 3>&- 4>&- &
		copy=$!
		"$change" "$n"
		wait "$copy"
		sync -f /mnt
		cmp data "/mnt/data.$n"
		((n < 4)) || rm "/mnt/data.$((n - 3))"
	done
	umount /mnt
	mount -t "$type" "$dev" /mnt
	for file in /mnt/data.*; do
		cmp data "$file"
	done
	umount /mnt
	"${@:4}" "$dev"
}

# fill_pattern FILE BYTES: content that can be told from anything else
fill_pattern() {
	openssl enc -aes-128-ctr -nosalt -pass "pass:$2" -pbkdf2 -iter 1 \
		</dev/zero 2>/dev/null | head -c "$2" >"$1"
}
