dist_man_MANS += man/larderd.8 man/larderctl.1 man/larder.yaml.5
