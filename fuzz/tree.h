/* SPDX-License-Identifier: MIT */
/*
 * tree.h - mutations of JSON that leave it JSON.
 */
#ifndef BDUS_FUZZ_TREE_H
#define BDUS_FUZZ_TREE_H

#include <stddef.h>
#include <stdint.h>

/** LLVMFuzzerMutate - of libFuzzer: changes bytes; returns how many there are
 */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/**
 * tree_mutate - change a text of JSON in one place
 * @text: changed
 * @size: bytes
 * @max_size: most that it may have
 * @seed: of the choice
 *
 * Return: its new size, or 0: it is no JSON, or there is no room.
 */
size_t tree_mutate(char *text, size_t size, size_t max_size, unsigned int seed);

#endif /* BDUS_FUZZ_TREE_H */
