/* Numbers of things that wait for something, each at most once, in order of arrival. Room is
 * reserved beforehand, so adding never fails. */
#ifndef DIRECTOR_FIFO_H
#define DIRECTOR_FIFO_H

#include "proto/base.h"

struct fifo {
	uint32_t *next; /* of each number: the next one plus two; 1: it is the last; 0: not in it */
	size_t room;
	uint32_t head, tail;
	size_t count;
};

/* Room for numbers below `numbers`: 0, or -ENOMEM and nothing changed. */
int fifo_reserve(struct fifo *fifo, size_t numbers);
void fifo_fini(struct fifo *fifo);
void fifo_clear(struct fifo *fifo);
void fifo_add(struct fifo *fifo, uint32_t number);
bool fifo_has(const struct fifo *fifo, uint32_t number);
/* The first one, which stays; false: it is empty. */
bool fifo_first(const struct fifo *fifo, uint32_t *ret_number);
bool fifo_take(struct fifo *fifo, uint32_t *ret_number);

#endif
