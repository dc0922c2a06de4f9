/* http_pages.c - what is served where. */
#include "control/http_pages.h"

#include "control/http_checkup.h"
#include "control/http_metrics.h"
#include "control/http_rules.h"
#include "control/http_sight.h"
#include "control/http_status.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a page is made of. */
struct page_input {
	const struct http_request *request;
	const struct http_source  *from;
	struct http_sight         *now;
};

static void pages_metrics(const struct page_input *in, struct http_reply *out)
{
	enum metrics_format format = metrics_negotiate(in->request->accept);

	out->type = metrics_content_types[format];
	out->body = metrics_write(in->now, format, &out->len);
}

struct pages_text {
	FILE *out;
	bool  bad;
};

/* The library does not look whether a key could be written, so a failure must be remembered here. */
static int pages_add(const char *text, size_t len, void *arg)
{
	struct pages_text *t = arg;

	t->bad |= fwrite(text, 1, len, t->out) != len;
	return t->bad ? -1 : 0;
}

/* Takes document.  format: of jansson. */
static void pages_json(json_t *document, size_t format, struct http_reply *out)
{
	struct pages_text t = { .out = document ? open_memstream(&out->body, &out->len) : NULL };

	out->type = "application/json";
	if (!t.out) {
		json_decref(document);
		return;
	}
	t.bad = json_dump_callback(document, pages_add, &t, format | JSON_ENSURE_ASCII) < 0 || t.bad ||
	        fputc('\n', t.out) == EOF;
	t.bad |= fclose(t.out) != 0;
	json_decref(document);
	if (!t.bad)
		return;
	free(out->body);
	out->body = NULL;
}

static void pages_verdict(json_t *document, enum checkup_state state, struct http_reply *out)
{
	out->status = state == CHECKUP_FAILING ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
	pages_json(document, JSON_INDENT(2), out);
}

static void pages_health(const struct page_input *in, struct http_reply *out)
{
	enum checkup_state state;
	json_t           *document = checkup_report(in->from->checkup, in->now, &state);

	pages_verdict(document, state, out);
}

static void pages_network(const struct page_input *in, struct http_reply *out)
{
	enum checkup_state state;
	json_t           *document = checkup_report_network(in->from->checkup, in->now, &state);

	pages_verdict(document, state, out);
}

/* For people and for the page's script. */
static void pages_status(const struct page_input *in, struct http_reply *out)
{
	const struct http_source *from = in->from;
	struct control_slow      *slow = calloc(1, sizeof *slow);

	if (!slow)
		return;
	from->ops->slow(from->ops->arg, slow);
	pages_json(http_status_document(from->checkup, in->now, slow, from->names), JSON_COMPACT, out);
	free(slow);
}

static const struct page {
	const char *path;
	void (*make)(const struct page_input *in, struct http_reply *out);	/* out comes with 200 */
} pages[] = {
	{ "/metrics", pages_metrics },
	{ "/health", pages_health },
	{ "/health/network", pages_network },
	{ "/status.json", pages_status },
};

static const struct page *pages_find(const char *path)
{
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		if (!strcmp(pages[i].path, path))
			return &pages[i];
	return NULL;
}

void http_pages_refuse(unsigned status, struct http_reply *out)
{
	int len;

	*out = (struct http_reply){ .status = status, .type = "text/plain; charset=utf-8" };
	len = asprintf(&out->body, "%u %s\n", status, MHD_get_reason_phrase_for(status));
	out->len = len < 0 ? 0 : (size_t)len;
	if (len < 0)
		out->body = NULL;
}

static void pages_file(const struct http_request *r, const struct http_file *file, struct http_reply *out)
{
	*out = (struct http_reply){ .status = MHD_HTTP_OK, .type = file->type, .body = (char *)file->octets,
		                    .len = file->len, .fixed = true };
	http_files_tag(file, out->tag);
	if (http_files_match(r->if_none_match, out->tag)) {
		out->status = MHD_HTTP_NOT_MODIFIED;
		out->len = 0;
	}
}

static void pages_numbers(const struct page_input *in, const struct page *page, struct http_reply *out)
{
	*out = (struct http_reply){ .status = MHD_HTTP_OK };
	if (http_sight_take(in->now, in->from->ops) < 0)
		return;
	page->make(in, out);
	http_sight_done(in->now);
}

void http_pages_make(const struct http_request *r, const struct http_source *from, struct http_reply *out)
{
	const struct http_file *file = http_files_find(r->path);
	const struct page      *page = pages_find(r->path);
	struct http_sight       now;

	if (file)
		pages_file(r, file, out);
	else if (page)
		pages_numbers(&(const struct page_input){ .request = r, .from = from, .now = &now }, page, out);
	else
		http_pages_refuse(MHD_HTTP_NOT_FOUND, out);
}
