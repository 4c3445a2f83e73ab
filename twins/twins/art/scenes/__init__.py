"""One module per kind of picture. Each draws a whole scene on a canvas and asks the brief which subjects to add."""
