/* SPDX-License-Identifier: MIT */
/*
 * node.h - the node of a device in /dev.
 */
#ifndef BDUS_NODE_H
#define BDUS_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "devid.h"

/**
 * struct node - a device's node
 * @path: /dev/bdus-ID
 * @is_made: we made it, so we remove it
 */
struct node {
	char path[DEVID_NODE_SIZE];
	bool is_made;
};

/**
 * node_clear - remove what a killed driver left under a new device's name
 * @id: of the device, which was not started yet and so has no node
 */
void node_clear(uint64_t id);

/**
 * node_wait - wait until a started device has its node, or make it
 * @node: filled in
 * @id: of the device
 *
 * devtmpfs has the node at once; where there is none and nobody else makes it,
 * as in some containers, it is made with mode 0600.
 *
 * Return: 0 or -errno.
 */
int node_wait(struct node *node, uint64_t id);

/** node_remove - remove the node if node_wait() made it. */
void node_remove(struct node *node);

#endif /* BDUS_NODE_H */
