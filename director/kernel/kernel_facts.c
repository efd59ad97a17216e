#include "director/kernel/kernel_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool kernel_facts_damage_ftp(const char *release, const char *version)
{
	const char *debian = strstr(version, "Debian ");
	unsigned int major, minor, patch = 0;

	if (sscanf(debian ? debian + strlen("Debian ") : release, "%u.%u.%u", &major, &minor,
		   &patch) < 2)
		return false;
	if (major != 6)
		return major < 6;
	if (minor == 1)
		return patch < 190;
	return minor < 12 || (minor == 12 && patch < 111);
}

uint32_t kernel_facts_table_size(uint32_t listed, const char *bits)
{
	unsigned long n = bits ? strtoul(bits, NULL, 10) : 0;
	uint32_t most = n > 0 && n < 32 ? UINT32_C(1) << n : 0;

	return listed > most ? listed : most;
}
