#!/usr/bin/env bats
# replay: what a power failure may leave of a recorded disk.

load lib

MiB=1048576

# The state of an ext4 after a power failure: whole, once its journal is there.
check='e2fsck -E journal_only -y % && e2fsck -fn %'

# mounted OPTIONS: an ext4 on a recorded disk, mounted on /mnt
mounted() {
	truncate -s 32M disk
	mkfs.ext4 -q -J size=4 -E lazy_itable_init=0,lazy_journal_init=0 disk
	start bdus record disk
	mount -o "$1" "$dev" /mnt
}

# use: files come, are synced, change and go
use() {
	local i
	for i in {1..12}; do
		fill_pattern "/mnt/$i" $((i * 3000))
		mkdir -p "/mnt/dir$((i % 4))"
		((i % 3)) || sync -f "/mnt/$i"
		((i % 4)) || mv "/mnt/$i" "/mnt/dir$((i % 4))/"
		((i < 8)) || rm -f "/mnt/$((i - 7))"
	done
	sync -f /mnt
}

unmounted() {
	umount /mnt
	bdus destroy "$dev"
}

# Torn writes are another matter: a superblock of ext4 has more than a sector.
@test "ext4 survives: no state of 50 is damaged" {
	mounted noatime
	use
	unmounted
	run bdus replay --fsck "$check" --states 50 --seed 5 disk.log
	echo "$output"
	[[ $output == *'50 states (seed 5): 0 failed'* ]]
}

@test "ext4 without barriers does not: a state that fails is found, and kept" {
	mounted noatime,nobarrier
	use
	unmounted
	run -1 bdus replay --fsck "$check" --states 50 --seed 5 --keep kept \
		disk.log
	echo "$output"
	state=$(sed -n 's/: exit status .*//p' <<<"$output" | head -n 1)
	[[ -f kept/$state.img && -f kept/$state.out ]]
	# the same again, by its name
	bdus replay --state "$state" -o again disk.log
	cmp kept/"$state".img again
	run ! sh -c 'e2fsck -E journal_only -y again && e2fsck -fn again'
	# JSON says the same
	run -1 bdus replay --fsck "$check" --states 50 --seed 5 --json disk.log
	[[ $output == *"\"failures\": [{\"state\": \"$state\""* ]]
}

@test "what was synced is there in every state after it" {
	mounted noatime
	fill_pattern /mnt/file 20000
	sync /mnt/file
	cp /mnt/file file
	n=$(bdus replay --list disk.log 2>/dev/null | awk 'END { print $1 }')
	rm /mnt/file
	fill_pattern /mnt/other 20000
	sync -f /mnt
	unmounted
	# it may be gone only after it was removed, which is synced at the end
	run -0 bdus replay --fsck 'e2fsck -E journal_only -y %; debugfs \
		-R "dump /file dump" % && { cmp file dump || test ! -s dump; }' \
		--from "$n" --states 40 --accept 0 disk.log
}

@test "a writer that marks before it flushes is caught, natively and quickly" {
	truncate -s 64K disk
	start bdus record disk
	block() { # VALUE PLACE FLAGS
		head -c 4096 /dev/zero | tr '\0' "$1" | dd of="$dev" bs=4k \
			seek="$2" iflag=fullblock oflag="direct$3" status=none
	}
	for value in a b c; do
		block $value 0 ''
		block $value 1 ''
		block $value 2 ,dsync # without a flush before it
	done
	bdus destroy "$dev"
	cat >checks <<-'END'
		at() { dd if="$1" bs=4k skip="$2" count=1 status=none | tr -d '\0' |
			cut -c1; }
		case $(at "$1" 2) in
		c) [ "$(at "$1" 0)$(at "$1" 1)" = cc ] ;;
		esac
	END
	run -1 bdus replay --fsck 'sh checks %' --accept 0 disk.log
	[[ $output == *'failed'* ]]
}

@test "--list, --epochs and --to" {
	truncate -s 1M disk
	start bdus record disk
	dd if=/dev/urandom of="$dev" bs=4k count=3 oflag=direct status=none
	bdus flush "$dev"
	dd if=/dev/urandom of="$dev" bs=4k count=1 oflag=direct status=none
	bdus destroy "$dev"
	[[ $(bdus replay --list disk.log | head -n 1) == OPERATION*EPOCH*KIND* ]]
	bdus replay --epochs disk.log >epochs
	grep -Eq '^ *0 +1 +4 +3 +0 +0 +0 +12K' epochs
	bdus replay --epochs --json disk.log | grep -q '"schema": 1'
	run -5 bdus replay --to 1 -o disk disk.log
	[[ $output == *'cannot create: File exists'* ]]
	run -2 bdus replay --to 99 -o image disk.log
	[[ $output == *'has operations 1 to '* ]]
	run -2 bdus replay --state 1:nothing -o image disk.log
	[[ $output == *'is no state of disk.log'* ]]
}

@test "usage, damage, and commands that cannot be run" {
	truncate -s 1M disk
	start bdus record disk
	dd if=/dev/urandom of="$dev" bs=4k count=3 oflag=direct status=none
	bdus destroy "$dev"
	run -2 bdus replay disk.log
	[[ $output == *'one of --list, '* ]]
	run -2 bdus replay --list
	[[ $output == *'no log given'* ]]
	run -2 bdus replay --to 1 disk.log
	[[ $output == *'need --output'* ]]
	run -2 bdus replay --fsck /nonexistent/fsck disk.log
	[[ $output == *"cannot run '/nonexistent/fsck'"* ]]
	run -2 bdus replay --fsck true --accept 0,x disk.log
	[[ $output == *"'0,x' is no list of exit statuses"* ]]
	run -1 bdus replay --list disk
	[[ $output == *'disk: is no log of bdus record'* ]]
	printf x | dd of=disk.log bs=1 seek=500 conv=notrunc status=none
	run -1 bdus replay --list disk.log
	[[ $output == *'disk.log: is damaged at byte '* ]]
	[[ -z $(compgen -G '/tmp/bdus-replay-*') ]]
}
