/* test_conf_manual.c - larder.yaml(5) and the JSON Schema against the table of options. */
#include "conf_rig.h"

#include "conf/table.h"
#include "conf/value.h"

#include <jansson.h>
#include <sys/wait.h>

/* ---- the manual ---- */

/* The page, with its escaped quotes made plain. */
static char *manual;

static int read_manual(void **state)
{
	const char *dir = getenv("srcdir");
	char        path[512], *o;
	FILE       *f;
	size_t      n;

	(void)state;
	snprintf(path, sizeof path, "%s/man/larder.yaml.5", dir ? dir : ".");
	f = fopen(path, "r");
	manual = calloc(1, 200000);
	if (!f || !manual)
		return -1;
	n = fread(manual, 1, 199999, f);
	fclose(f);
	manual[n] = '\0';
	o = manual;
	for (const char *p = manual; *p;) {
		bool quote = !strncmp(p, "\\(dq", 4);

		*o++ = quote ? '"' : *p;
		p += quote ? 4 : 1;
	}
	*o = '\0';
	return n ? 0 : -1;
}

static int free_manual(void **state)
{
	(void)state;
	free(manual);
	return 0;
}

/* The paragraph of an option; the caller frees it. */
static char *paragraph(const char *name)
{
	char        head[64];
	const char *start, *end, *list_end;

	snprintf(head, sizeof head, "\n.It Ic %s : ", name);
	start = strstr(manual, head);
	if (!start) {
		fail_msg("larder.yaml(5) lacks \"%s\"", name);
		return NULL;
	}
	end = strstr(start + 1, "\n.It Ic ");
	list_end = strstr(start + 1, "\n.El");
	if (!end || (list_end && list_end < end))
		end = list_end;
	assert_non_null(end);
	return strndup(start, (size_t)(end - start));
}

static unsigned options_seen;

static void check_option(void *arg, const char *name)
{
	const struct conf_option *o = &conf_options[conf_option_index(name)];
	char                     *text = paragraph(name), copy[128] = "", bound[32];

	(void)arg;
	options_seen++;
	rig_has(text, "\nExample");
	if (!o->size)
		rig_has(text, "Not built yet");
	if (o->fallback)
		snprintf(copy, sizeof copy, "%s", o->fallback);
	for (char *save, *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		rig_has(text, word);
	if (o->size && (o->type == CONF_NUMBER || o->type == CONF_MS || o->type == CONF_SECONDS || o->type == CONF_OCTETS)) {
		rig_has(text, conf_value_format(o->type, o->min, bound));
		rig_has(text, conf_value_format(o->type, o->max, bound));
	}
	free(text);
}

static void test_manual_has_every_option(void **state)
{
	(void)state;
	conf_each_option(check_option, NULL);
	assert_true(options_seen > 30);
}

static void test_manual_has_no_other_option(void **state)
{
	(void)state;
	for (const char *p = strstr(manual, "\n.It Ic "); p; p = strstr(p + 1, "\n.It Ic ")) {
		char   name[64];
		size_t i = 0;

		snprintf(name, sizeof name, "%.*s", (int)strcspn(p + 8, " \n"), p + 8);
		while (i < conf_option_count && strcmp(conf_options[i].name, name))
			i++;
		if (i == conf_option_count)
			fail_msg("larder.yaml(5) has \"%s\", which is no option", name);
	}
}

/* What the manual shows must be accepted. */
static void test_manual_examples(void **state)
{
	unsigned n = 0;

	(void)state;
	for (const char *p = strstr(manual, "\nExample:\n.Li "); p; p = strstr(p + 1, "\nExample:\n.Li ")) {
		char *line = strndup(p + 14, strcspn(p + 14, "\n")), *report;

		conf_unref(conf_load_text(line, strlen(line), &report));
		if (report)
			fail_msg("%s", report);
		free(line);
		n++;
	}
	assert_true(n > 25);
	n = 0;
	for (const char *p = strstr(manual, "\n.Sh EXAMPLES"); p && (p = strstr(p, "\n.Bd")) && p < strstr(manual, "\n.Sh DIAGNOSTICS"); p++) {
		const char  *start = strchr(p + 1, '\n') + 1;
		char        *block = strndup(start, (size_t)(strstr(start, ".Ed") - start)), *report;
		struct conf *c = conf_load_text(block, strlen(block), &report);

		if (report)
			fail_msg("%s", report);
		conf_unref(c);
		free(block);
		n++;
	}
	assert_int_equal(n, 3);
}

/* ---- the schema ---- */

static char *schema_text(void)
{
	char  *text;
	size_t len;
	FILE  *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(conf_schema(f), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

/* The part of the schema for an option; "*" is whatever the user calls it. */
static const json_t *schema_find(const json_t *at, const char *name)
{
	char copy[64];

	snprintf(copy, sizeof copy, "%s", name);
	for (char *save, *key = strtok_r(copy, ".", &save); key; key = strtok_r(NULL, ".", &save)) {
		if (strcmp(key, "*"))
			at = json_object_get(json_object_get(at, "properties"), key);
		else
			at = json_object_get(at, "additionalProperties");
		if (!at)
			fail_msg("the schema lacks \"%s\"", name);
	}
	return at;
}

static void check_schema(void *arg, const char *name)
{
	const struct conf_option *o = &conf_options[conf_option_index(name)];
	const json_t             *part = schema_find(arg, name), *value;

	assert_true(json_string_length(json_object_get(part, "description")) > 5);
	if (o->type == CONF_NUMBER) {
		assert_int_equal(json_integer_value(json_object_get(part, "minimum")), o->min);
		assert_int_equal(json_integer_value(json_object_get(part, "maximum")), o->max);
		assert_int_equal(json_integer_value(json_object_get(part, "default")), atoll(o->fallback));
	}
	value = json_object_get(part, "default");
	if (o->fallback && !value)
		fail_msg("the schema lacks the default of \"%s\"", name);
	if (json_is_string(value))
		assert_string_equal(json_string_value(value), o->fallback);
}

static void test_schema_has_every_option(void **state)
{
	char   *text = schema_text();
	json_t *schema = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	(void)state;
	assert_non_null(schema);
	assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
	conf_each_option(check_schema, schema);
	json_decref(schema);
	free(text);
}

/* Texts in JSON, which is YAML too: larder and the schema must agree on them. */
static const struct {
	bool        good;
	const char *text;
} samples[] = {
	{ true, "{}" },
	{ true, "{\"cache\": {}, \"tcp\": {\"idle\": \"1m\"}}" },
	{ true, "{\"listen\": [\"127.0.0.1\", \"::1\", \"[::1]:5300\", \"127.0.0.1:5353\"]}" },
	{ true, "{\"allow\": [\"192.0.2.0/24\", \"2001:db8::/32\", \"192.0.2.1\", \"::1\"], \"threads\": 64}" },
	{ true, "{\"forward\": [\"a\", \"192.0.2.1\", \"udp://192.0.2.1:54\", \"tcp://[2001:db8::1]:53\", \"2001:db8::2\"],"
	        " \"upstreams\": {\"a\": {\"url\": \"tcp://192.0.2.9\"}}}" },
	{ true, "{\"forward\": [\"tls://192.0.2.1#dns.example\", \"https://[2001:db8::1]:8443/q#dns.example\", \"https://192.0.2.1\"]}" },
	{ true, "{\"upstreams\": {\"a\": {\"url\": \"tls://192.0.2.1\","
	        " \"pins\": [\"sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"]}}}" },
	{ true, "{\"upstreams\": {\"a\": {\"url\": \"https://192.0.2.1\", \"method\": \"get\"}}}" },
	{ true, "{\"upgrade\": true, \"upstreams\": {\"a\": {\"url\": \"192.0.2.1\", \"upgrade\": false}}}" },
	{ true, "{\"upstreams\": {\"a\": {\"url\": \"tls://192.0.2.1\", \"profile\": \"opportunistic\"}}}" },
	{ false, "{\"upstreams\": {\"a\": {\"url\": \"tls://192.0.2.1\", \"profile\": \"lax\"}}}" },
	{ true, "{\"routes\": {\"corp.example\": [\"192.0.2.1\"], \"10.in-addr.arpa.\": [\"tcp://192.0.2.1\"]}}" },
	{ true, "{\"case-mixing\": true, \"log-level\": \"debug\", \"control-socket\": \"\"}" },
	{ true, "{\"case-mixing\": \"off\", \"cache\": {\"size\": \"1G\", \"stale\": \"0s\", \"prefetch\": false}}" },
	{ true, "{\"identity\": {\"version\": \"x\", \"hostname\": 1.5}, \"user\": \"larder\"}" },
	{ false, "{\"thraeds\": 1}" },
	{ false, "{\"threads\": 65}" },
	{ false, "{\"threads\": 0}" },
	{ false, "{\"threads\": [1]}" },
	{ false, "{\"threads\": \"four\"}" },
	{ false, "[]" },
	{ false, "{\"listen\": \"127.0.0.1\"}" },
	{ false, "{\"listen\": []}" },
	{ false, "{\"listen\": [\"localhost\"]}" },
	{ false, "{\"listen\": [\"127.0.0.1\", \"127.0.0.1\"]}" },
	{ false, "{\"allow\": [\"everyone\"]}" },
	{ false, "{\"forward\": [\"h3://192.0.2.1\"]}" },
	{ false, "{\"forward\": [\"http://192.0.2.1/dns-query\"]}" },
	{ false, "{\"upstreams\": {\"a\": {\"url\": \"tls://192.0.2.1\", \"pins\": [\"sha256/AAAA\"]}}}" },
	{ false, "{\"upstreams\": {\"a\": {\"url\": \"https://192.0.2.1\", \"method\": \"put\"}}}" },
	{ false, "{\"forward\": [\"192.0.2.1#dns.example.net\"]}" },
	{ false, "{\"forward\": [\"dns.example.net\"]}" },
	{ false, "{\"query-timeout\": 4}" },
	{ false, "{\"query-timeout\": \"4\"}" },
	{ false, "{\"query-timeout\": \"4 s\"}" },
	{ false, "{\"case-mixing\": 1}" },
	{ false, "{\"log-level\": \"loud\"}" },
	{ false, "{\"user\": \"\"}" },
	{ false, "{\"cache\": {\"size\": \"64MB\"}}" },
	{ true, "{\"cache\": {\"stale\": 0, \"stale-wait\": \"auto\"}, \"resend-after\": \"20ms\"}" },
	{ true, "{\"policy\": \"race\", \"routes\": {\"a.example\": [\"192.0.2.1\"]}, \"route-policy\": {\"a.example\": \"spread\"}}" },
	{ false, "{\"cache\": {\"stale\": 1}}" },
	{ false, "{\"query-timeout\": \"auto\"}" },
	{ true, "{\"cache\": {\"prefetch\": true}}" },
	{ false, "{\"cache\": {\"siez\": \"1G\"}}" },
	{ false, "{\"cache\": []}" },
	{ false, "{\"upstreams\": {\"a\": {}}}" },
	{ false, "{\"upstreams\": {\"a\": {\"url\": \"192.0.2.1\", \"pins\": []}}}" },
	{ false, "{\"upstreams\": {\"a.b\": {\"url\": \"192.0.2.1\"}}}" },
	{ false, "{\"routes\": {\".\": [\"192.0.2.1\"]}}" },
	{ false, "{\"routes\": {\"a\": []}}" },
};

static const char checker[] =
	"import json, sys\n"
	"try:\n"
	"    import jsonschema\n"
	"    validator = jsonschema.Draft202012Validator\n"
	"except (ImportError, AttributeError):\n"
	"    sys.exit(77)\n"
	"schema = json.load(open(sys.argv[1]))\n"
	"validator.check_schema(schema)\n"
	"for line in open(sys.argv[2]):\n"
	"    good, text = line.split(' ', 1)\n"
	"    found = [e.message for e in validator(schema).iter_errors(json.loads(text))]\n"
	"    if bool(found) == (good == '1'):\n"
	"        sys.exit(f'{text} gives {found}')\n";

static void test_schema_and_larder_agree(void **state)
{
	struct conf_rig *r = *state;
	char            *text = schema_text(), command[1024], *report;
	char             script[256], schema[256], list[256];
	FILE            *f;
	int              status;

	strcpy(schema, rig_write(r, "schema.json", text));
	strcpy(script, rig_write(r, "check.py", checker));
	strcpy(list, rig_path(r, "samples"));
	f = fopen(list, "w");
	assert_non_null(f);
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
		struct conf *c = conf_load_text(samples[i].text, strlen(samples[i].text), &report);

		if ((c != NULL) != samples[i].good)
			fail_msg("%s: %s", samples[i].text, report ? report : "good");
		free(report);
		conf_unref(c);
		fprintf(f, "%d %s\n", samples[i].good, samples[i].text);
	}
	assert_int_equal(fclose(f), 0);
	free(text);
	snprintf(command, sizeof command, "python3 %s %s %s", script, schema, list);
	status = system(command);
	if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)) {
		print_message("jsonschema for Python 3 is not there: the schema itself is not checked\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void test_schema_tells_a_failed_write(void **state)
{
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	if (!full)
		skip();
	assert_true(conf_schema(full) < 0);
	fclose(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manual_has_every_option),
		cmocka_unit_test(test_manual_has_no_other_option),
		cmocka_unit_test(test_manual_examples),
		cmocka_unit_test(test_schema_has_every_option),
		cmocka_unit_test_setup_teardown(test_schema_and_larder_agree, rig_setup, rig_teardown),
		cmocka_unit_test(test_schema_tells_a_failed_write),
	};

	return cmocka_run_group_tests(tests, read_manual, free_manual);
}
