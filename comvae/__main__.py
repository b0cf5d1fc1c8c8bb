"""`python -m comvae`: see comvae/cli.py."""

from comvae.cli import main

main()
