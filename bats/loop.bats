#!/usr/bin/env bats
# loop: a file or block device as a disk.

load lib
load backing

has_direct() { (($(awk '/^flags:/ { print $2 }' "/proc/$pid/fdinfo/$1") & 040000)); }

# refused STATUS TEXT ARG...: bdus loop ARG... ends with STATUS, and says TEXT
refused() {
	run -"$1" --separate-stderr timeout 10 bdus loop "${@:3}"
	# shellcheck disable=SC2154 # bats sets it
	[[ -z $output && $stderr == "bdus loop: "*"$2"* ]] || {
		echo "$stderr"
		return 1
	}
}

### data ######################################################################

@test "a file on ext4: random writes under load read back as written" {
	size=${BDUS_VERIFY_SIZE:-256M}
	ext4_below $(($(numfmt --from=iec "$size") * 5 / 4))
	start bdus loop --create --size "$size" /mnt/file
	verify "$dev" "$size"
	bdus destroy "$dev"
}

@test "a block device: random writes under load read back as written" {
	size=${BDUS_VERIFY_SIZE:-256M}
	below "$(numfmt --from=iec "$size")"
	start bdus loop /dev/ram0
	verify "$dev" "$size"
	[[ $(blockdev --getsize64 "$dev") == "$(blockdev --getsize64 /dev/ram0)" ]]
}

@test "--direct: the same, past the page cache" {
	ext4_below $((64 * MiB))
	start bdus loop --create --size 32M --direct /mnt/file
	has_direct "$(find "/proc/$pid/fd" -lname /mnt/file ! -name 200 -printf %f)"
	verify "$dev" 32M
	bdus destroy "$dev"
	umount /mnt
	start bdus loop --direct /dev/ram0
	has_direct "$(find "/proc/$pid/fd" -lname /dev/ram0 ! -name 200 -printf %f)"
	verify "$dev" 64M
}

@test "what was written is in the file, and there again the next time" {
	start bdus loop --create --size 8M file
	fill_pattern data $((8 * MiB))
	dd if=data of="$dev" bs=1M status=none
	bdus destroy "$dev"
	cmp data file
	start bdus loop --read-only file
	cmp data "$dev"
}

@test "--offset and --sizelimit: the range, and no byte beside it" {
	fill_pattern file $((3 * MiB))
	cp file expected
	start bdus loop --offset 12345 --sizelimit 1M file
	[[ $(blockdev --getsize64 "$dev") == "$MiB" ]]
	cmp --bytes="$MiB" --ignore-initial=12345:0 file "$dev"
	fill_pattern data "$MiB"
	put() { # into the range of expected
		dd of=expected oflag=seek_bytes seek=12345 conv=notrunc \
			status=none
	}
	dd if=data of="$dev" bs=1M oflag=direct status=none
	put <data
	cmp file expected
	for command in 'blkdiscard' 'blkdiscard --zeroout'; do
		dd if=data of="$dev" bs=1M oflag=direct status=none
		$command "$dev"
		head -c "$MiB" /dev/zero | put
		cmp file expected
	done
	bdus destroy "$dev"
	start bdus loop --offset 2M --sizelimit 1G file # as much as there is
	[[ $(blockdev --getsize64 "$dev") == "$MiB" ]]
	bdus destroy "$dev"
	refused 1 'file: ends before --offset' --offset 3M file
}

@test "a size that is no multiple of the block: a warning, and cut" {
	fill_pattern file 10000
	start bdus loop -b 4096 file 2>warning
	[[ $(<warning) == *'the last 1808 bytes are no whole block of 4096 bytes'* ]]
	[[ $(blockdev --getsize64 "$dev") == 8192 ]]
	fill_pattern data 8192
	dd if=data of="$dev" bs=8192 oflag=direct status=none
	bdus destroy "$dev"
	fill_pattern expected 10000
	dd if=data of=expected conv=notrunc status=none
	cmp expected file
}

@test "a file system on a disk on a disk on a disk in a file" {
	start bdus loop --create --size 64M file
	start bdus loop "$dev"
	start bdus loop --direct "$dev"
	mkfs.ext4 -q "$dev"
	mount "$dev" /mnt
	fill_pattern data $((8 * MiB))
	cp data /mnt/
	umount /mnt
	bdus destroy --all
	e2fsck -fn file
	start bdus loop --read-only file
	mount -o ro "$dev" /mnt
	cmp data /mnt/data
	umount /mnt
}

### making files ##############################################################

@test "--create makes a sparse file, and no file in place of another" {
	start bdus loop --create --size 1G file
	[[ $(blockdev --getsize64 "$dev") == $((1 << 30)) ]]
	[[ $(stat -c '%s %a' file) == "$((1 << 30)) 600" ]]
	(($(used file) == 0))
	echo mine >other
	refused 5 'other: cannot create: File exists' --create --size 1M other
	[[ $(<other) == mine ]]
	refused 2 '--create needs --size' --create new
	refused 2 '--size is for --create' --size 1M other
	refused 1 'smaller than one block' --create --size 512 -b 4096 new
	[[ ! -e new ]]
}

### what can be no backing ####################################################

@test "what is neither file nor block device is refused by what it is" {
	mkfifo fifo
	: >empty
	refused 1 "$dir: is a directory" "$dir"
	refused 1 'fifo: is a named pipe' fifo
	refused 1 '/dev/null: is a character device' /dev/null
	refused 1 'empty: is empty' empty
	refused 1 'nowhere: cannot open: No such file or directory' nowhere
	no_device
}

@test "a file in use: 5, with the user named; only readers share" {
	fill_pattern file "$MiB"
	ln file link
	start bdus loop file
	refused 5 "link: is in use: bdus (pid $pid)" link
	refused 5 "file: is in use: bdus (pid $pid)" --read-only file
	bdus destroy "$dev"
	start bdus loop --read-only file
	start bdus loop --read-only link
	refused 5 'file: is in use: bdus (pid ' file
	bdus destroy --all
	modprobe loop
	losetup /dev/loop0 file
	refused 5 'file: is in use: /dev/loop0' file
}

@test "a file that is swapped to: 5" {
	ext4_below $((16 * MiB))
	fill_pattern /mnt/swap $((2 * MiB))
	chmod 600 /mnt/swap
	mkswap -q /mnt/swap
	swapon /mnt/swap
	refused 5 '/mnt/swap: is in use: swap' /mnt/swap
}

@test "a block device in use: 5, with the user named" {
	ext4_below $((16 * MiB))
	refused 5 '/dev/ram0: is in use: mounted on /mnt' /dev/ram0
	umount /mnt
	mkswap -q /dev/ram0
	swapon /dev/ram0
	refused 5 '/dev/ram0: is in use: swap on /dev/ram0' /dev/ram0
	swapoff /dev/ram0
	echo '0 16384 linear /dev/ram0 0' | dmsetup create upper
	refused 5 '/dev/ram0: is in use: used by /dev/dm-' /dev/ram0
	dmsetup remove upper
	start bdus loop /dev/ram0
	refused 5 "/dev/ram0: is in use: bdus (pid $pid)" /dev/ram0
	bdus destroy "$dev"
	modprobe loop
	losetup /dev/loop0 /dev/ram0
	refused 5 '/dev/ram0: is in use: /dev/loop0' /dev/ram0
	losetup --detach /dev/loop0
}

### read-only #################################################################

@test "--read-only changes nothing, and works where nothing can be changed" {
	ext4_below $((16 * MiB))
	fill_pattern /mnt/file "$MiB"
	cp /mnt/file data
	mount -o remount,ro /mnt
	refused 1 '/mnt/file: cannot open: Read-only file system' /mnt/file
	start bdus loop --read-only /mnt/file
	cmp data "$dev"
	run ! dd if=/dev/zero of="$dev" count=1 oflag=direct
	run ! blkdiscard "$dev"
	bdus destroy "$dev"
	cmp data /mnt/file
	umount /mnt
	blockdev --setro /dev/ram0
	refused 1 '/dev/ram0: ' /dev/ram0
	start bdus loop --read-only /dev/ram0
	blockdev --setrw /dev/ram0
	bdus destroy "$dev"
}

### discard and write zeroes ##################################################

@test "on a file discard makes holes, and so do zeroes that may" {
	for command in 'blkdiscard' 'fallocate --punch-hole'; do
		fill_pattern file $((8 * MiB))
		cp file expected
		(($(used file) >= 8 * MiB))
		start bdus loop file
		$command --offset 1M --length 4M "$dev"
		(($(used file) <= 4 * MiB))
		dd if=/dev/zero of=expected bs=1M seek=1 count=4 conv=notrunc \
			status=none
		cmp expected "$dev"
		bdus destroy "$dev"
		cmp expected file
	done
}

@test "zeroes that must stay allocated do: on ext4, and on tmpfs" {
	ext4_below $((32 * MiB))
	for file in /mnt/file file; do
		start bdus loop --create --size 8M "$file"
		fill_pattern data $((8 * MiB))
		dd if=data of="$dev" bs=1M oflag=direct status=none
		blkdiscard --zeroout --offset 1536 --length 7M "$dev"
		sync "$file"
		(($(used "$file") >= 8 * MiB))
		dd if=/dev/zero of=data bs=512 seek=3 count=14336 conv=notrunc \
			status=none
		cmp data "$dev"
		bdus destroy "$dev"
		cmp data "$file"
	done
}

@test "on a device discard and write zeroes are passed down" {
	start bdus ram --size 8M --lazy
	lower=$id
	fill_pattern data $((8 * MiB))
	dd if=data of="$dev" bs=1M oflag=direct status=none
	start bdus loop --offset 1M "$dev"
	blkdiscard --offset 1M --length 2M "$dev"
	blkdiscard --zeroout --offset 4M --length 1M "$dev"
	run ! blkdiscard --secure "$dev"
	dd if=/dev/zero of=data bs=1M seek=2 count=2 conv=notrunc status=none
	dd if=/dev/zero of=data bs=1M seek=5 count=1 conv=notrunc status=none
	bdus destroy "$dev"
	cmp data "/dev/bdus-$lower"
	[[ $(<"/sys/block/bdus-$lower/bdus/discard_bytes") == $((2 * MiB)) ]]
	[[ $(<"/sys/block/bdus-$lower/bdus/write_zeroes_bytes") == "$MiB" ]]
}

@test "what the device below cannot do is not offered" {
	below $((8 * MiB))
	max_discard() { cat "/sys/block/$1/queue/discard_max_bytes"; }
	start bdus loop /dev/ram0
	(($(max_discard "bdus-$id") > 0 == $(max_discard ram0) > 0))
	bdus destroy "$dev"
	# not aligned to the blocks below: zeroes are written, without discard
	fill_pattern data $((8 * MiB))
	dd if=data of=/dev/ram0 bs=1M status=none
	start bdus loop --offset 100 --sizelimit 1M /dev/ram0
	[[ $(max_discard "bdus-$id") == 0 ]]
	run ! blkdiscard "$dev"
	blkdiscard --zeroout "$dev"
	bdus destroy "$dev"
	dd if=/dev/zero of=data oflag=seek_bytes seek=100 bs=1M count=1 \
		conv=notrunc status=none
	cmp data /dev/ram0
}

### errors ####################################################################

@test "a file that is cut short: EIO from there on, and never longer again" {
	fill_pattern file $((4 * MiB))
	cp file expected
	start bdus loop file
	truncate -s 1M file
	for n in 1 3; do
		run ! dd if="$dev" of=/dev/null bs=1M skip=$n count=1 iflag=direct
		[[ $output == *'Input/output error'* ]]
		run ! dd if=expected of="$dev" bs=1M seek=$n count=1 oflag=direct
		[[ $output == *'Input/output error'* ]]
		run ! blkdiscard --zeroout --offset ${n}M "$dev"
	done
	[[ $(stat -c %s file) == "$MiB" ]]
	cmp --bytes="$MiB" expected "$dev"
	dd if=expected of="$dev" bs=1M skip=1 count=1 oflag=direct status=none
	cmp --bytes="$MiB" --ignore-initial=0:"$MiB" file expected
	[[ $(attribute state) == live ]]
	bdus destroy "$dev"
}

@test "a full file system: ENOSPC, and what is there can still be written" {
	ext4_below $((16 * MiB))
	truncate -s 64M /mnt/file
	start bdus loop /mnt/file
	run ! dd if=/dev/urandom of="$dev" bs=1M oflag=direct
	[[ $output == *'No space left on device'* ]]
	dd if=/dev/urandom of=data bs=1M count=4 status=none
	dd if=data of="$dev" bs=1M oflag=direct status=none
	bdus destroy "$dev"
	cmp --bytes=$((4 * MiB)) data /mnt/file
}

@test "errors of the device below reach the client, the rest goes on" {
	below $((16 * MiB))
	printf '%s\n' '0 8192 linear /dev/ram0 0' '8192 8192 error' \
		'16384 16384 linear /dev/ram0 16384' | dmsetup create bad
	start bdus loop --direct /dev/mapper/bad
	fill_pattern data "$MiB"
	for place in 4 7; do # MiB, in the part that fails
		run ! dd if="$dev" of=/dev/null bs=64k skip=$((place * 16)) \
			count=1 iflag=direct
		[[ $output == *'Input/output error'* ]]
		run ! dd if=data of="$dev" bs=64k seek=$((place * 16)) count=1 \
			oflag=direct
		[[ $output == *'Input/output error'* ]]
	done
	for place in 3 8; do
		dd if=data of="$dev" bs=1M seek=$place oflag=direct status=none
		cmp --bytes="$MiB" --ignore-initial=0:$((place * MiB)) data "$dev"
	done
	bdus destroy "$dev"
	# through the page cache it is the flush that tells
	start bdus loop /dev/mapper/bad
	dd if=data of="$dev" bs=64k seek=64 count=1 oflag=direct status=none
	run -1 bdus destroy "$dev"
	[[ $output == *'cannot flush, so it stays: I/O error'* ]]
	bdus destroy --no-flush "$dev"
}

@test "a device below that goes away: EIO, and the driver can be ended" {
	start bdus ram --size 8M
	lower=$dev
	start bdus loop "$lower"
	bdus destroy --force "$lower"
	run ! dd if="$dev" of=/dev/null bs=1M count=1 iflag=direct
	[[ $output == *'Input/output error'* ]]
	for flags in direct direct,dsync; do
		run ! dd if=/dev/zero of="$dev" bs=1M count=1 oflag=$flags
		[[ $output == *'Input/output error'* ]]
	done
	[[ $(attribute state) == live ]]
	bdus destroy --no-flush "$dev"
	[[ ! -e $dev ]]
}

@test "to serve a file is no access to it" {
	fill_pattern file $((16 * MiB))
	touch -a -d 2001-01-01 file # older than what was written: to be updated
	before=$(stat -c %X file)
	start bdus loop file
	dd if="$dev" of=copy bs=1M iflag=direct status=none
	bdus destroy "$dev"
	[[ $(stat -c %X file) == "$before" ]]
	cmp copy file
}
