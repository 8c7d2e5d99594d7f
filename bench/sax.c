/* sax.c - sax FILE RUNS prints the least CPU seconds that libxml2 alone needs to read a document,
 * with handlers that do nothing: the floor under core.xml.
 */
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void element_began(void *user, const xmlChar *name, const xmlChar *prefix,
    const xmlChar *uri, int namespaces, const xmlChar **namespace, int attributes, int defaulted,
    const xmlChar **attribute)
{
	(void)user, (void)name, (void)prefix, (void)uri, (void)namespaces, (void)namespace;
	(void)attributes, (void)defaulted, (void)attribute;
}

static void element_ended(
    void *user, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	(void)user, (void)name, (void)prefix, (void)uri;
}

static void text_came(void *user, const xmlChar *s, int n)
{
	(void)user, (void)s, (void)n;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static char *slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *text = NULL;
	long size = f && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;

	if (size > 0 && (text = malloc((size_t)size))) {
		rewind(f);
		*n = fread(text, 1, (size_t)size, f);
	}
	if (f)
		fclose(f);
	return text;
}

int main(int argc, char **argv)
{
	xmlSAXHandler handler = {
		.initialized = XML_SAX2_MAGIC,
		.startElementNs = element_began,
		.endElementNs = element_ended,
		.characters = text_came,
		.ignorableWhitespace = text_came,
	};
	size_t n = 0;
	char *text = argc == 3 ? slurp(argv[1], &n) : NULL;
	double least = 1e9;

	if (!text)
		return 1;
	for (int runs = atoi(argv[2]); runs > 0; runs--) {
		double from = now();
		if (xmlSAXUserParseMemory(&handler, NULL, text, (int)n) != 0)
			return 1;
		double took = now() - from;
		least = took < least ? took : least;
	}
	printf("%.3f\n", least);
	free(text);
	return 0;
}
