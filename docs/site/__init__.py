"""Documentation site: the pages of docs/, and pages generated from the program."""
