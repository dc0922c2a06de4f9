# bash completion for larderctl

# Names of upstreams, as far as larderd may be asked.
_larderctl_upstreams()
{
	larderctl --json upstreams 2>/dev/null | sed -n 's/^ *"name": "\(.*\)",$/\1/p'
}

_larderctl()
{
	local cur=$2 prev=$3 word words=() cword
	local options='--socket --json --subtree --interval --type --rcode --outcome --client --slower --help --version'
	local verbs='status stats top upstreams upstream cache reload config resolve trace monitor slow route health log'
	local types='A AAAA CAA CNAME DNSKEY DS HTTPS MX NAPTR NS PTR SOA SRV SVCB TLSA TXT'

	COMPREPLY=()
	if [[ $prev == --socket ]]; then
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	if [[ $prev == --interval ]]; then
		mapfile -t COMPREPLY < <(compgen -W '500ms 1s 2s 5s 10s' -- "$cur")
		return
	fi
	case $prev in
	--type) mapfile -t COMPREPLY < <(compgen -W "$types" -- "$cur") && return ;;
	--rcode) mapfile -t COMPREPLY < <(compgen -W 'NOERROR NXDOMAIN SERVFAIL REFUSED FORMERR' -- "$cur") && return ;;
	--outcome) mapfile -t COMPREPLY < <(compgen -W 'hit stale miss joined local refused' -- "$cur") && return ;;
	--client | --slower) return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		return
	fi
	# The words before this one that are no options.
	for ((cword = 1; cword < COMP_CWORD; cword++)); do
		word=${COMP_WORDS[cword]}
		if [[ $word == --@(socket|interval|type|rcode|outcome|client|slower) ]]; then
			((cword++))
		elif [[ $word != -* ]]; then
			words+=("$word")
		fi
	done
	case "${#words[@]} ${words[*]}" in
	"0 ") word=$verbs ;;
	"1 cache") word='stats lookup dump flush' ;;
	"2 log queries") word='on off' ;;
	"1 log") word='queries error warning notice info debug' ;;
	"1 upstream") word=$(_larderctl_upstreams) ;;
	"2 upstream "*) word='up down auto reset' ;;
	"2 resolve "* | "2 trace "* | "3 cache lookup "* | "3 cache flush "*) word=$types ;;
	*) return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
}

complete -F _larderctl larderctl
