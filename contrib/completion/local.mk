# Completion for shells, where they look for what packages bring.
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
fishcompletiondir = $(datadir)/fish/vendor_completions.d

# bash looks for a file with the command's name.
bashcompletion_DATA = contrib/completion/built/larderctl
dist_zshcompletion_DATA = contrib/completion/_larderctl
dist_fishcompletion_DATA = contrib/completion/larderctl.fish

contrib/completion/built/larderctl: contrib/completion/larderctl.bash
	$(AM_V_at)$(MKDIR_P) contrib/completion/built
	$(AM_V_GEN)cp $(srcdir)/contrib/completion/larderctl.bash $@

EXTRA_DIST += contrib/completion/larderctl.bash
CLEANFILES += contrib/completion/built/larderctl
