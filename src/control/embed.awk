# Turns interface descriptions into a table of C strings (see interfaces.h).
BEGIN {
	print "#include \"control/interfaces.h\"\n"
	print "#include <stddef.h>\n"
	print "const struct control_interface control_interfaces[] = {"
}
FNR == 1 {
	if (NR > 1)
		print "\t},"
	n = split(FILENAME, path, "/")
	name = path[n]
	sub(/\.varlink$/, "", name)
	printf "\t{ \"%s\",\n", name
}
{
	gsub(/\\/, "&&")
	gsub(/"/, "\\\"")
	printf "\t  \"%s\\n\"\n", $0
}
END {
	print "\t},"
	print "\t{ NULL, NULL },"
	print "};"
}
