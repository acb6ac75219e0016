// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - loading and unloading.
 *
 * Every device and every open file holds a reference to the module, so that
 * unloading finds neither.
 */
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "internal.h"

struct workqueue_struct *kbdus_wq;

static unsigned int abi = KBDUS_ABI;
module_param(abi, uint, 0444);
MODULE_PARM_DESC(abi, "version of the interface to user space (read-only)");

static struct miscdevice control_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBDUS_CONTROL_NAME,
	.fops = &kbdus_control_fops,
	.mode = 0600,
};

static int __init kbdus_init(void)
{
	int ret;

	BUILD_BUG_ON(sizeof(struct kbdus_request) != 32);
	BUILD_BUG_ON(sizeof(struct kbdus_completion) != 32);
	BUILD_BUG_ON(sizeof(struct kbdus_exchange) != 40);
	abi = KBDUS_ABI;
	/* requests must end when memory is short: they may be its writeback */
	kbdus_wq = alloc_workqueue("kbdus", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!kbdus_wq)
		return -ENOMEM;
	ret = misc_register(&control_device);
	if (ret)
		destroy_workqueue(kbdus_wq);
	return ret;
}

static void __exit kbdus_exit(void)
{
	misc_deregister(&control_device);
	destroy_workqueue(kbdus_wq);
}

module_init(kbdus_init);
module_exit(kbdus_exit);

MODULE_AUTHOR("the bdus developers");
MODULE_DESCRIPTION("block devices in user space");
MODULE_LICENSE("GPL");
MODULE_VERSION(KBDUS_RELEASE);
