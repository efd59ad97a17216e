/* The forwarding method of injected entries: this director's own for the real server, as the
 * kernel's own sync daemon has it. Kernels up to 7.0 take it from their real server, whatever the
 * message says; 7.1 until the middle of 2026 corrupts its table if the two differ. Memory only. */
#ifndef DIRECTOR_SERVICE_INJECT_METHOD_H
#define DIRECTOR_SERVICE_INJECT_METHOD_H

#include "director/service/service.h"

/* message: a sync message of ours, len bytes; 0: none. services: as configured here, sorted. An
 * entry of no real server here keeps its method. Returns how many were changed. */
unsigned int inject_method_set(const struct service_set *services, uint8_t *message, size_t len);

#endif
