# Turns the files of the status page into a table of C strings (see http_files.h).  index.html is "/", any other file
# lies beside it under its own name.  page, which is another when a file or the version is, stands where @PAGE@ does.
BEGIN {
	types["html"] = "text/html; charset=utf-8"
	types["css"] = "text/css; charset=utf-8"
	types["js"] = "text/javascript; charset=utf-8"
	types["svg"] = "image/svg+xml"
	print "#include \"control/http_files.h\"\n"
	print "#include <stddef.h>"
}
FNR == 1 {
	if (files)
		print "\t;"
	n = split(FILENAME, path, "/")
	name[++files] = path[n]
	printf "\nstatic const char file_%d[] =\n", files
}
{
	gsub(/@PAGE@/, page)
	gsub(/\\/, "&&")
	gsub(/"/, "\\\"")
	printf "\t\"%s\\n\"\n", $0
}
END {
	printf "\t;\n\nconst char http_files_page[] = \"%s\";\n\n", page
	print "const struct http_file http_files[] = {"
	for (i = 1; i <= files; i++) {
		n = split(name[i], part, ".")
		printf "\t{ \"/%s\", \"%s\", file_%d, sizeof file_%d - 1 },\n",
			name[i] == "index.html" ? "" : name[i], types[part[n]], i, i
	}
	print "\t{ NULL, NULL, NULL, 0 },"
	print "};"
}
