"""SOPS documents encrypted for age: decrypting, which agents do, and encrypting, which the command line does.

It reads and writes what the program `sops` does (https://github.com/getsops/sops), and trusts a document only as a
whole: every value and the order of all of them are covered by its MAC. It costs the memory of two libraries, so it is
imported where a document is at hand and not before.
"""
