#include "director/fifo.h"

#include <stdlib.h>

int fifo_reserve(struct fifo *fifo, size_t numbers)
{
	size_t room = MAX(fifo->room, 16);
	uint32_t *next;

	if (numbers <= fifo->room)
		return 0;
	while (room < numbers)
		room *= 2;
	next = reallocarray(fifo->next, room, sizeof(*next));
	if (!next)
		return -ENOMEM;
	memset(next + fifo->room, 0, (room - fifo->room) * sizeof(*next));
	fifo->next = next;
	fifo->room = room;
	return 0;
}

void fifo_fini(struct fifo *fifo)
{
	free(fifo->next);
	*fifo = (struct fifo){0};
}

void fifo_clear(struct fifo *fifo)
{
	for (uint32_t number; fifo_take(fifo, &number);)
		;
}

void fifo_add(struct fifo *fifo, uint32_t number)
{
	assert(number < fifo->room);
	if (fifo->next[number])
		return;
	if (fifo->count++)
		fifo->next[fifo->tail] = number + 2;
	else
		fifo->head = number;
	fifo->next[number] = 1;
	fifo->tail = number;
}

bool fifo_has(const struct fifo *fifo, uint32_t number)
{
	return number < fifo->room && fifo->next[number];
}

bool fifo_first(const struct fifo *fifo, uint32_t *ret_number)
{
	if (fifo->count)
		*ret_number = fifo->head;
	return fifo->count > 0;
}

bool fifo_take(struct fifo *fifo, uint32_t *ret_number)
{
	uint32_t next;

	if (!fifo_first(fifo, ret_number))
		return false;
	next = fifo->next[*ret_number];
	fifo->next[*ret_number] = 0;
	fifo->head = next - 2; /* of no matter behind the last */
	fifo->count--;
	return true;
}
