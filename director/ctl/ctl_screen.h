/* The screen of `lvsmesh status`, from the daemon's JSON (status.h). It puts facts into words and
 * decides nothing: each line follows from the fields alone. */
#ifndef DIRECTOR_CTL_CTL_SCREEN_H
#define DIRECTOR_CTL_CTL_SCREEN_H

#include <jansson.h>
#include <stdio.h>

void ctl_screen_print(FILE *out, const json_t *status);

#endif
