# shellcheck shell=bash
#
# backing.bash - what the tests of drivers share whose data is on a file or a
# block device.

MiB=1048576

teardown() {
	no_device || bdus destroy --all --timeout 10 || true
	umount -q /mnt || true
	swapoff --all
	[[ ! -d /sys/module/dm_mod ]] || dmsetup remove_all
	[[ ! -d /sys/module/loop ]] || losetup --detach-all
	no_device || bdus destroy --all --no-flush || true
	[[ ! -d /sys/module/brd ]] || wait_until 5 rmmod brd
	common_teardown
}

# below SIZE: /dev/ram0 and /dev/ram1, the kernel's own disks in memory
below() { modprobe brd rd_nr=2 rd_size=$(($1 / 1024)); }

# ext4_below SIZE: /mnt is an ext4 on one of them
ext4_below() {
	below "$1"
	mkfs.ext4 -q /dev/ram0
	mount /dev/ram0 /mnt
}

used() { du --block-size=1 "$1" | cut -f1; }

# put DATA [MiB]: to $dev, at that place
put() { dd if="$1" of="$dev" bs=1M seek="${2-0}" oflag=direct status=none; }

# holds DATA [MiB]: has $dev that data there?
holds() {
	cmp --bytes="$(stat -c %s "$1")" \
		--ignore-initial=0:$((${2-0} * MiB)) "$1" "$dev"
}
