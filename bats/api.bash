# shellcheck shell=bash
#
# api.bash - what the tests of libbdus share: drivers of bats/api/, built with
# glibc's library, or with musl's for test files named so.

load lib

setup() {
	common_setup
	api=$BATS_TEST_DIRNAME/../build/api
	[[ $BATS_TEST_FILENAME != *musl* ]] || api+=/musl
	PATH=$api/bats/api:$PATH
	project=$BATS_TEST_DIRNAME/..
}

# What a driver found to be otherwise than promised fails the test.
teardown() {
	local status=0
	if grep -h '^BROKEN' "$dir"/trace* 2>/dev/null; then
		status=1
	fi
	common_teardown || status=1
	return "$status"
}

# launch COMMAND...: a driver in the foreground, with stdout in api.out, stderr
# in api.err; $pid is its process
launch() {
	: >api.out
	"$@" >api.out 2>api.err 3>&- 4>&- &
	pid=$!
}

# serve COMMAND...: likewise, and waits for its device, $dev and $id
serve() {
	launch "$@"
	wait_until 5 test -s api.out
	read -r dev <api.out
	id=${dev#/dev/bdus-}
}

# A run of apidrv that fails by itself: its errno and message are in $output.
refused() {
	run -1 --separate-stderr timeout 10 apidrv "$@"
	output=$stderr
}

shown() { sed -n "s/^$1 //p" api.out; }
calls() { grep -c "^$1" trace || true; }
queue_file() { cat "/sys/block/bdus-$id/queue/$1"; }

# ends PID STATUS: the process, a child, ends in this way
ends() {
	local status=0
	wait "$1" || status=$?
	[[ $status == "$2" ]] || echo "ended with $status" >&2
	[[ $status == "$2" ]]
}

write_block() { dd if=/dev/urandom of="$dev" bs=4k count=1 "$@" status=none; }
read_block() { dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct "$@"; }

# errno NAME: its number
errno() {
	case $1 in
	EIO) echo 5 ;;
	EACCES) echo 13 ;;
	EINVAL) echo 22 ;;
	ENOTTY) echo 25 ;;
	ENOSPC) echo 28 ;;
	ENOLINK) echo 67 ;;
	ETIMEDOUT) echo 110 ;;
	EPERM) echo 1 ;;
	ENODEV) echo 19 ;;
	EBUSY) echo 16 ;;
	esac
}
