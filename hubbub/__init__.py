"""The one name of hubbub in site-packages. Its import changes nothing; hubbub/__main__.py is the program."""
