# fish completion for larderctl

function __larderctl_upstreams
    larderctl --json upstreams 2>/dev/null | string replace -rf '^ *"name": "(.*)",$' '$1'
end

set -l verbs status stats top upstreams upstream cache reload config resolve trace monitor slow route health log
set -l types A AAAA CAA CNAME DNSKEY DS HTTPS MX NAPTR NS PTR SOA SRV SVCB TLSA TXT
set -l none "not __fish_seen_subcommand_from $verbs"
set -l cache '__fish_seen_subcommand_from cache; and not __fish_seen_subcommand_from stats lookup dump flush'

complete -c larderctl -f
complete -c larderctl -l socket -r -F -d 'where the control socket is'
complete -c larderctl -l json -d 'print what larderd replied, as JSON'
complete -c larderctl -l interval -x -a '500ms 1s 2s 5s 10s' -d 'how often top looks'
complete -c larderctl -l subtree -d 'the name and every name below it'
complete -c larderctl -l type -x -a "$types" -d 'monitor: of this type'
complete -c larderctl -l rcode -x -a 'NOERROR NXDOMAIN SERVFAIL REFUSED FORMERR' -d 'monitor: with this rcode'
complete -c larderctl -l outcome -x -a 'hit stale miss joined local refused' -d 'monitor: answered so'
complete -c larderctl -l client -x -d 'monitor: from this address or prefix'
complete -c larderctl -l slower -x -d 'monitor: that took so long or longer'
complete -c larderctl -l help -d 'print a summary'
complete -c larderctl -l version -d 'print the version'

complete -c larderctl -n $none -a status -d 'is larderd well, and what does it work with'
complete -c larderctl -n $none -a stats -d 'how clients were answered, and how upstreams do'
complete -c larderctl -n $none -a top -d 'the same and what goes on, live on the whole screen'
complete -c larderctl -n $none -a upstreams -d 'how each upstream is, and why'
complete -c larderctl -n $none -a upstream -d 'always ask it, never, as found, or find out anew'
complete -c larderctl -n $none -a cache -d 'what the cache holds'
complete -c larderctl -n $none -a reload -d 'read the configuration anew'
complete -c larderctl -n $none -a config -d 'print the configuration in effect'
complete -c larderctl -n $none -a resolve -d 'ask a question as a client would'
complete -c larderctl -n $none -a trace -d 'the same step by step, and where the time goes'
complete -c larderctl -n $none -a monitor -d 'queries as they are answered'
complete -c larderctl -n $none -a slow -d 'the latest slow queries, and why they were'
complete -c larderctl -n $none -a route -d 'where a question for a name goes, and why'
complete -c larderctl -n $none -a health -d 'is DNS well'
complete -c larderctl -n $none -a log -d 'how much is logged'

complete -c larderctl -n $cache -a stats -d 'how full the cache is, and how it is used'
complete -c larderctl -n $cache -a lookup -d 'what the cache holds for a name'
complete -c larderctl -n $cache -a dump -d 'all that the cache holds'
complete -c larderctl -n $cache -a flush -d 'forget all answers, or those for a name'
complete -c larderctl -n '__fish_seen_subcommand_from log' -a 'queries error warning notice info debug'
complete -c larderctl -n '__fish_seen_subcommand_from queries' -a 'on off'
complete -c larderctl -n '__fish_seen_subcommand_from upstream' -a '(__larderctl_upstreams) up down auto reset'
complete -c larderctl -n '__fish_seen_subcommand_from resolve trace lookup flush' -a "$types"
