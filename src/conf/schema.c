/* schema.c - the table as a JSON Schema (draft 2020-12), so that editors
 * complete and check larder.yaml.
 *
 * It is a little more generous than larder: what needs arithmetic (bounds of
 * times) or other values (names of upstreams) stands in words only.
 */
#include "conf/conf.h"

#include "conf/table.h"
#include "conf/value.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_V4        "[0-9]{1,3}(\\.[0-9]{1,3}){3}"
#define SCHEMA_V6        "[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*"
#define SCHEMA_SCOPE     "(%[^\\]\\s/]+)?"
#define SCHEMA_ADDR                                                                                \
	"(" SCHEMA_V4 "(:[0-9]+)?|" SCHEMA_V6 SCHEMA_SCOPE "|\\[" SCHEMA_V6 SCHEMA_SCOPE           \
	"\\](:[0-9]+)?)"
#define SCHEMA_ENDPOINT  "^(" SCHEMA_ADDR "|/.{1,106})$"
#define SCHEMA_HOST      "^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"
#define SCHEMA_PREFIX    "^(" SCHEMA_V4 "|" SCHEMA_V6 ")(/[0-9]{1,3})?$"
#define SCHEMA_HASH      "(#[0-9A-Za-z._:-]+)?"
#define SCHEMA_NAMED     "[0-9A-Za-z._-]*[A-Za-z][0-9A-Za-z_-]*\\.?(:[0-9]+)?"
#define SCHEMA_SERVER                                                                              \
	"(((udp|tcp)://)?" SCHEMA_ADDR "|tls://" SCHEMA_ADDR SCHEMA_HASH                           \
	"|https://" SCHEMA_ADDR "(/[^#]*)?" SCHEMA_HASH ")"
#define SCHEMA_URL                                                                                 \
	"(" SCHEMA_SERVER "|(udp|tcp)://" SCHEMA_NAMED "|tls://" SCHEMA_NAMED SCHEMA_HASH           \
	"|https://" SCHEMA_NAMED "(/[^#]*)?" SCHEMA_HASH ")"
#define SCHEMA_PIN       "^sha256/[A-Za-z0-9+/]{43}=$"
#define SCHEMA_NAME      "[A-Za-z][A-Za-z0-9_-]{0,62}"
#define SCHEMA_REFERENCE "^(" SCHEMA_NAME "|" SCHEMA_URL ")$"
#define SCHEMA_TIME      "^[0-9]+(ms|s|m|h|d)$"
#define SCHEMA_TIME_OR_ZERO "^(0|[0-9]+(ms|s|m|h|d))$"
#define SCHEMA_TIME_OR_AUTO "^(auto|[0-9]+(ms|s|m|h|d))$"
#define SCHEMA_OCTETS    "^[0-9]+[BKMG]$"

/* Takes value.  The first failure sticks. */
struct schema {
	bool failed;
};

static void schema_set(struct schema *s, json_t *object, const char *key, json_t *value)
{
	s->failed |= json_object_set_new(object, key, value) < 0;
}

static json_t *schema_section(struct schema *s, const char *prefix);

static json_t *schema_of_type(struct schema *s, const char *type, const char *pattern)
{
	json_t *o = json_object();

	schema_set(s, o, "type", json_string(type));
	if (pattern)
		schema_set(s, o, "pattern", json_string(pattern));
	return o;
}

/* A mapping may also stand there without entries, which YAML calls null. */
static json_t *schema_mapping(struct schema *s)
{
	json_t *o = json_object();

	schema_set(s, o, "type", json_pack("[s, s]", "object", "null"));
	return o;
}

static json_t *schema_list(struct schema *s, const char *pattern, int64_t max)
{
	json_t *list = schema_of_type(s, "array", NULL);

	schema_set(s, list, "items", schema_of_type(s, "string", pattern));
	schema_set(s, list, "minItems", json_integer(1));
	schema_set(s, list, "maxItems", json_integer(max));
	schema_set(s, list, "uniqueItems", json_true());
	return list;
}

static json_t *schema_number(struct schema *s, const struct conf_option *o)
{
	json_t *n = schema_of_type(s, "integer", NULL);

	schema_set(s, n, "minimum", json_integer(o->min));
	schema_set(s, n, "maximum", json_integer(o->max));
	return n;
}

static json_t *schema_text(struct schema *s, const struct conf_option *o)
{
	json_t *t = json_object();

	schema_set(s, t, "type",
		   o->type == CONF_PATH ? json_string("string")
					: json_pack("[s, s]", "string", "number"));
	schema_set(s, t, "minLength", json_integer(o->min));
	schema_set(s, t, "maxLength", json_integer(o->max));
	return t;
}

/* What is not built yet has its default as the only value. */
static json_t *schema_bool(struct schema *s, const struct conf_option *o)
{
	json_t *b = json_object();

	schema_set(s, b, "enum",
		   o->size ? json_pack("[b, b, s, s, s, s, s, s]", 0, 1, "no", "yes", "off", "on",
				       "false", "true")
			   : json_pack("[b, s, s, s]", 0, "no", "off", "false"));
	return b;
}

/* 0 is a time whatever its unit, also as a number. */
static json_t *schema_time(struct schema *s, const struct conf_option *o)
{
	json_t *t;

	if (o->min > 0)
		return schema_of_type(s, "string", conf_option_takes_auto(o) ? SCHEMA_TIME_OR_AUTO : SCHEMA_TIME);
	t = json_object();
	schema_set(s, t, "type", json_pack("[s, s]", "string", "integer"));
	schema_set(s, t, "pattern", json_string(SCHEMA_TIME_OR_ZERO));
	schema_set(s, t, "minimum", json_integer(0));
	schema_set(s, t, "maximum", json_integer(0));
	return t;
}

static json_t *schema_words(struct schema *s, const char *const *words)
{
	json_t *l = json_object(), *names = json_array();

	for (size_t i = 0; words[i]; i++)
		s->failed |= json_array_append_new(names, json_string(words[i])) < 0;
	schema_set(s, l, "enum", names);
	return l;
}

static json_t *schema_upstreams(struct schema *s, const struct conf_option *o)
{
	json_t *u = schema_mapping(s), *entry = schema_section(s, "upstreams.*.");

	schema_set(s, entry, "type", json_string("object"));
	schema_set(s, entry, "required", json_pack("[s]", "url"));
	schema_set(s, u, "propertyNames", json_pack("{s: s}", "pattern", "^" SCHEMA_NAME "$"));
	schema_set(s, u, "additionalProperties", entry);
	schema_set(s, u, "maxProperties", json_integer(o->max));
	return u;
}

/* Mappings from suffixes to values. */
static json_t *schema_by_suffix(struct schema *s, const struct conf_option *o, json_t *value)
{
	json_t *r = schema_mapping(s);

	schema_set(s, r, "propertyNames", json_pack("{s: s}", "pattern", "^[^.]"));
	schema_set(s, r, "additionalProperties", value);
	schema_set(s, r, "maxProperties", json_integer(o->max));
	return r;
}

static json_t *schema_value(struct schema *s, const struct conf_option *o)
{
	char prefix[32];

	switch (o->type) {
	case CONF_SECTION:
		snprintf(prefix, sizeof prefix, "%s.", o->name);
		return schema_section(s, prefix);
	case CONF_NUMBER:
		return schema_number(s, o);
	case CONF_MS:
	case CONF_SECONDS:
		return schema_time(s, o);
	case CONF_OCTETS:
		return schema_of_type(s, "string", SCHEMA_OCTETS);
	case CONF_BOOL:
		return schema_bool(s, o);
	case CONF_LEVEL:
	case CONF_POLICY:
	case CONF_METHOD:
	case CONF_PROFILE:
		return schema_words(s, conf_type_words(o->type));
	case CONF_TEXT:
	case CONF_PATH:
		return schema_text(s, o);
	case CONF_URL:
		return schema_of_type(s, "string", "^" SCHEMA_URL "$");
	case CONF_LISTEN:
		return schema_list(s, "^" SCHEMA_ADDR "$", o->max);
	case CONF_PREFIXES:
		return schema_list(s, SCHEMA_PREFIX, o->max);
	case CONF_ENDPOINTS:
		return schema_list(s, SCHEMA_ENDPOINT, o->max);
	case CONF_HOSTS:
		return schema_list(s, SCHEMA_HOST, o->max);
	case CONF_FORWARD:
		return schema_list(s, SCHEMA_REFERENCE, o->max);
	case CONF_SERVERS:
		return schema_list(s, "^" SCHEMA_SERVER "$", o->max);
	case CONF_PINS:
		return schema_list(s, SCHEMA_PIN, o->max);
	case CONF_UPSTREAMS:
		return schema_upstreams(s, o);
	case CONF_ROUTES:
		return schema_by_suffix(s, o, schema_list(s, SCHEMA_REFERENCE, CONF_LIST_MAX));
	case CONF_POLICIES:
		return schema_by_suffix(s, o, schema_words(s, conf_type_words(o->type)));
	}
	return NULL;
}

/* The default as an editor should insert it. */
static json_t *schema_default(struct schema *s, const struct conf_option *o)
{
	json_t *list;

	if (o->type == CONF_NUMBER)
		return json_integer(strtoll(o->fallback, NULL, 10));
	if (o->type == CONF_BOOL)
		return json_boolean(!strcmp(o->fallback, "yes"));
	if (!conf_type_is_list(o->type))
		return json_string(o->fallback);
	list = json_array();
	for (const char *p = o->fallback; *p;) {
		size_t n = strcspn(p, " ");

		s->failed |= json_array_append_new(list, json_stringn(p, n)) < 0;
		p += n + (p[n] == ' ');
	}
	return list;
}

/* One line of what it is; bounds in words where the schema has no numbers for them. */
static json_t *schema_description(const struct conf_option *o)
{
	char low[32], high[32];

	if (!o->size && o->type != CONF_SECTION)
		return json_sprintf("%s Not built yet.", o->about);
	if (o->type != CONF_MS && o->type != CONF_SECONDS && o->type != CONF_OCTETS)
		return json_string(o->about);
	return json_sprintf("%s From %s to %s.", o->about, conf_value_format(o->type, o->min, low),
	                    conf_value_format(o->type, o->max, high));
}

static json_t *schema_section(struct schema *s, const char *prefix)
{
	json_t *section = schema_mapping(s), *properties = json_object();

	for (size_t i = 0; i < conf_option_count; i++) {
		const struct conf_option *o = &conf_options[i];
		json_t                   *value;

		if (!conf_option_is_in(o, prefix))
			continue;
		value = schema_value(s, o);
		schema_set(s, value, "description", schema_description(o));
		if (o->fallback)
			schema_set(s, value, "default", schema_default(s, o));
		schema_set(s, properties, conf_option_key(o), value);
	}
	schema_set(s, section, "properties", properties);
	schema_set(s, section, "additionalProperties", json_false());
	return section;
}

int conf_schema(FILE *out)
{
	struct schema s = { false };
	json_t       *root = json_object(), *section = schema_section(&s, "");
	int           err = -ENOMEM;

	schema_set(&s, root, "$schema",
		   json_string("https://json-schema.org/draft/2020-12/schema"));
	schema_set(&s, root, "title", json_string("larder.yaml"));
	schema_set(&s, root, "description",
		   json_string("Configuration of larderd, a caching DNS stub resolver."));
	s.failed |= json_object_update(root, section) < 0;
	if (!s.failed)
		err = json_dumpf(root, out, JSON_INDENT(2)) < 0 ? -EIO : 0;
	if (!err && (fputc('\n', out) < 0 || fflush(out)))
		err = -EIO;
	json_decref(section);
	json_decref(root);
	return err;
}
