#!/bin/sh
# Argo CD's repo-server runs this for every revision; its image has a script of the same name, which asks GnuPG. No
# AppProject of this project asks for signatures, and a rehearsal verifies none.
echo "a rehearsal verifies no signatures"
