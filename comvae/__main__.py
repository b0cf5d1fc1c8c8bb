"""`python -m comvae`: see comvae/cli."""

from comvae.cli import main

main()
