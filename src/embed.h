/* embed.h - the Lua sources inside the binary, as they are. */
#ifndef EB_EMBED_H
#define EB_EMBED_H

#include <stddef.h>

struct embedded {
	const char *module; /* "providers.static"; NULL ends the table */
	const char *chunk;  /* "@lua/providers/static.lua" */
	const char *source;
	size_t size;
};

extern const struct embedded embedded[];

#endif
